// Tests on the newest CPython, which the npm package pyodide (found on NODE_PATH) holds as WebAssembly.
//
//     node --stack-size=90000 tests/support/newest_python.mjs SITE_PACKAGES PYTEST_ARGUMENT...
//
// SITE_PACKAGES holds pytest and what the tests import, as wheels for this interpreter.
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const { loadPyodide } = createRequire(`${process.env.NODE_PATH}/`)("pyodide");
const [site, ...args] = process.argv.slice(2);
const python = await loadPyodide({ env: { HOME: "/tmp" } });
for (const [inside, outside] of [["/site", resolve(site)], ["/checkout", resolve(dirname(fileURLToPath(import.meta.url)), "../..")]]) {
    python.FS.mkdirTree(inside);
    python.mountNodeFS(inside, outside);
}
python.globals.set("args", python.toPy(args));
process.exitCode = python.runPython(`
import os, sys
sys.path[:0] = ["/checkout", "/site"]
sys.dont_write_bytecode = True
os.chdir("/checkout")
import pytest
print("Python", sys.version)
int(pytest.main(["-o", "addopts=-q -ra --strict-markers", "-p", "no:cacheprovider", *args]))
`);
