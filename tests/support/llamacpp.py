"""llama.cpp's server with the embedded model, in a process of its own until stdin ends: prints its address."""

from __future__ import annotations

import sys

import xllamacpp

from llmstream.net import model_file


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model_file.fetch()
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.endpoint_slots = True  # /slots tells what is being generated
    params.n_parallel = 2
    params.n_ctx = 4096  # of both slots together
    params.cpuparams.n_threads = 1  # several threads wait for each other, for long where the machine is busy
    params.warmup = False
    params.fit_params = False
    params.verbosity = -1
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
