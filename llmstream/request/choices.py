"""The models that a prompt may go to, in the order in which they are asked, and its request to each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.request import Request
from ..core.retry import RetryPolicy
from ..core.timing import Timeouts
from ..dialects import MESSAGES
from ..errors import Error, Incomplete, OutputFailed, Refused, Unavailable, UsageError, option
from ..inputs import check_file
from ..providers.registry import BUILT_IN, EMBEDDED, REPLAY, Catalogue
from ..providers.resolve import model_names
from ..providers.target import Target
from .builder import SHAPES, Cache, RequestBuilder, network
from .options import OPTIONS

if TYPE_CHECKING:
    from ..config.file import Config
    from .answer_check import AnswerCheck
else:
    AnswerCheck = object  # typing would compile the name in text, which takes 1 ms


CACHED_NAMES = {"system", "tools", "messages", "attach"}  # options whose part of a request later ones repeat
SERVER_TOOLS = ("tools", "mcp_servers")  # fields of the body that name tools of the provider's


class Choice(NamedTuple):
    """The request to one model, and how it is sent."""

    target: Target
    request: Request
    timeouts: Timeouts
    retries: RetryPolicy
    on_refusal: bool  # whether the next model is asked on a refusal, too
    resumes: bool  # whether a cut answer is resumed
    check: AnswerCheck | None = None  # of the whole answer
    check_retries: int = 0  # how often a wrong answer is asked for again
    max_turns: int = 1  # answers, where tools are run or the provider pauses

    def falls_back(self, error: Error) -> bool:
        """Returns whether the next model is to be asked after an error before any output."""
        if isinstance(error, Unavailable | Incomplete):
            return not isinstance(error, OutputFailed)
        return self.on_refusal and isinstance(error, Refused)

    def waiting(self, window: str) -> "Choice":
        """Returns the choice of a background response, which is answered within a window of time."""
        timeouts = self.timeouts._replace(first_token=None, stall=None)
        return self._replace(request=self.request._replace(within=window), timeouts=timeouts, resumes=False)

    @property
    def may_pause(self) -> bool:
        """Whether the provider may pause the answer, as Anthropic does where its own tools take long."""
        return self.target.api == MESSAGES and any(name in SERVER_TOOLS for name, _ in self.request.extra)

    def with_native(self) -> "Choice":
        """Returns the choice with a request whose answer can be sent back whole."""
        return self._replace(request=self.request._replace(native=True))


def by_model(values: dict[str, Any], config: "Config", env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Returns the options for each model that `values` names, with the configuration's defaults for it.

    Raises UsageError, with file and line for a wrong default.
    """
    names = model_names(values.get("model"), env, config.catalogue)
    options = [dict(values) if name is None else {**values, "model": name} for name in names]
    if config.defaults or config.by_model:
        from .layers import add_defaults

        for each in options:
            add_defaults(each, config, env)
    return options


def require_checkable(
    options: Sequence[Mapping[str, Any]], rivals: Mapping[str, bool], shapes_vary: bool = False
) -> None:
    """Raises UsageError for a check that lacks something, or that one of the `rivals` that is there excludes.

    `shapes_vary`: a record may say what it wants.
    """
    names = set[str]().union(*options)
    if not any(each.get("check") for each in options):
        if "check_retries" in names and "check" not in names:
            raise UsageError(f"{option('check_retries')} is for the answers of {option('check')}: add it")
        return
    from importlib.util import find_spec

    if not find_spec("jsonschema"):
        raise UsageError(f"{option('check')} needs jsonschema: pip install 'llmstream-cli[check]'")
    if name := next((name for name, there in rivals.items() if there), ""):
        raise UsageError(f"{option('check')} and {name} exclude each other: leave one out")
    if not (shapes_vary or names & SHAPES):
        raise UsageError(f"{option('check')} needs {option('schema')} or {option('json')}: say what is right")


def require_cacheable(options: list[dict[str, Any]]) -> None:
    """Raises UsageError where an option asks for a cache, and none of the options to each model has a part for it."""
    if not any(CACHED_NAMES & each.keys() for each in options):
        names = ", ".join(option(name) for name in ("system", "tools", "messages", "attach"))
        raise UsageError(f"{option('cache')} has nothing to cache: it is for {names}")


class Choices:
    """Builds the requests for a prompt, one for each model; `options` are those that `by_model` returns.

    For records, `check_rivals` are what excludes a check, and whether it is there; `runs_tools`: tools are programs,
    and those of a record, which may come from anywhere, are not run.
    Raises UsageError, as RequestBuilder does, also for what only one of the models does not have.
    """

    def __init__(
        self,
        command: str,
        options: list[dict[str, Any]],
        env: Mapping[str, str],
        catalogue: Catalogue = BUILT_IN,
        check_rivals: Mapping[str, bool] = {},
        runs_tools: bool = False,
    ) -> None:
        self._env, self._catalogue = env, catalogue
        self._check_rivals, self._runs_tools = check_rivals, runs_tools
        cache = Cache({}, {}, {})
        self._builders = [RequestBuilder(command, each, env, catalogue, cache) for each in options]
        self.targets = [builder.target for builder in self._builders]
        first = options[0]
        key = option("key_env") if first.get("key_env") else "api_key" if first.get("api_key") else ""
        self._key = "" if first.get("base_url") else key  # the option whose key is one provider's
        self._require_one_provider()

    def _require_one_provider(self, builders: Sequence[RequestBuilder] = ()) -> None:
        """Raises UsageError where an option's key would go to two providers, that of the models of `builders`, too."""
        targets = [*self.targets, *(builder.target for builder in builders)]
        if self._key and len({target.provider for target in targets}) > 1:
            raise UsageError(f"{self._key} is the key of one provider: name the models of one, or leave it out")

    @property
    def first_network(self) -> tuple[Timeouts, RetryPolicy]:
        """The time-outs and the retry policy for the first target."""
        return network(self._builders[0].options)

    @property
    def is_background(self) -> bool:
        """Whether the first target is asked for a background response."""
        return "within" in self._builders[0].options

    @property
    def has_conversation(self) -> bool:
        """Whether there are messages, which can do without a prompt."""
        return all(builder.has_conversation for builder in self._builders)

    @property
    def reads_stdin(self) -> bool:
        """Whether an option reads stdin."""
        return any(builder.reads_stdin for builder in self._builders)

    def add_conversation(self, path: str, messages: list[dict[str, Any]]) -> None:
        """Puts the messages of a file before the prompt."""
        for builder in self._builders:
            builder.add_conversation(path, messages)

    def requests(self, prompt: str, overrides: Mapping[str, Any] = {}) -> list[Choice]:
        """Returns the request for a prompt to each model; `overrides` are a record's options.

        A record's model, or those of its alias, replace the others.
        """
        builders = self._builders
        if "model" in overrides:
            names = model_names(overrides["model"], self._env, self._catalogue)
            builders = [builders[0].with_overrides({**overrides, "model": name}) for name in names]
            self._require_one_provider(builders)
        elif overrides:
            builders = [builder.with_overrides(overrides) for builder in builders]
        if self._runs_tools and "tools" in overrides:
            raise UsageError(f"{option('run_tools')} runs no tools of a record: leave its tools out")
        if overrides.keys() & {"check", "check_retries"}:
            require_checkable([builder.options for builder in builders], self._check_rivals)
        if len(builders) == 1:
            return [_choice(builders[0], prompt)]
        return [_checked(builder, prompt) for builder in builders]


def _choice(builder: RequestBuilder, prompt: str) -> Choice:
    options, (target, request) = builder.options, builder.request(prompt)
    on_refusal, resumes = options.get("fallback_on") == "refusal", options.get("resume_cut", False)
    resumes = resumes and not request.within  # which outlives its connections anyway
    max_turns = options.get("max_turns", OPTIONS["max_turns"].default)
    choice = Choice(target, request, *network(options), on_refusal, resumes, max_turns=max_turns)
    if not (options.get("check") and (request.schema or request.json)):
        return choice
    from .answer_check import AnswerCheck

    retries = options.get("check_retries", OPTIONS["check_retries"].default)
    return choice._replace(check=AnswerCheck(request), check_retries=retries)


def _checked(builder: RequestBuilder, prompt: str) -> Choice:
    """Returns a choice of several, of which each can be sent; errors name the model."""
    target = builder.target
    try:
        choice = _choice(builder, prompt)
        require_files(target)
        if target.row.transport != REPLAY:  # whose dialect the recording has
            choice.target.body(choice.request._replace(attachments=()))
        return choice
    except UsageError as error:
        raise UsageError(f"{target.name}: {error.message}", hint=error.hint) from None


def require_files(target: Target) -> None:
    """Raises UsageError where the package or the file of a model is missing; nothing is loaded."""
    if target.row.transport == REPLAY:
        check_file(target.model)
    elif target.row.transport == EMBEDDED:
        from ..net.embedded import require

        require(target.model)
