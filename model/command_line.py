"""Shared parts of both command lines: commands built from declared options, errors in one line."""

import inspect
import io
import shutil
import signal
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

import rich_click as click
from click import get_current_context
from click.shell_completion import CompletionItem
from rich.markup import escape

from model.chat.names import make_printable_lines
from model.errors import UnderstudyError, describe_error, traceback_without_text
from model.options import Option, options_of
from model.version import VERSION

SIGNALLED = 128  # a shell adds this to the number of the signal that ended a process
INTERRUPTED = SIGNALLED + signal.SIGINT

_USAGE = 2  # exit status
_MAX_WIDTH = 100
_HELP = click.RichHelpConfiguration(
    show_arguments=True,
    max_width=_MAX_WIDTH,
    text_markup="rich",
    options_table_column_types=["opt_all_metavar", "help"],
    options_table_help_sections=["help"],
    append_metavars_help_string="{}",
)
_SETTINGS = (
    Option("Any of `understudy settings {}`; repeatable", "NAME=VALUE").of(
        "set", tuple[str, ...], ()
    ),
    Option("Settings in a TOML file", "FILE").of("config", Path, None),
)


@dataclass(frozen=True, slots=True)
class Fields:
    """Options of a command: the fields of a dataclass. The parameter receives those passed.

    If `only` names fields, the other fields are not options. Those in `shown` are in the help
    although they have a panel. `default_text` is shown in place of each default.
    """

    source: type
    only: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    default_text: str = ""

    @property
    def options(self) -> Iterator[Option]:
        """Yield the options."""
        for one in options_of(self.source):
            if not self.only or one.field in self.only:
                panel = "" if one.field in self.shown else one.panel
                text = self.default_text or one.default_text
                yield replace(one, panel=panel, default_text=text)


class CommandGroup(click.RichGroup):
    """A group of commands, listed in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names of the commands."""
        return list(self.commands)


class Command(click.RichCommand):
    """A command whose options are the parameters of a function and the fields of dataclasses."""

    def __init__(
        self, function: Callable[..., None], name: str, example: str, panel: str | None
    ) -> None:
        self.function, self.example = function, example
        self.groups: dict[str, Fields] = {}
        self.options: list[Option] = []
        hints = get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            annotation, declared = get_args(hints[parameter.name])
            if isinstance(declared, Fields):
                self.groups[parameter.name] = declared
                self.options += declared.options
            else:
                self.options.append(declared.of(parameter.name, annotation, parameter.default))
        shown = [one for one in self.options if not one.panel]
        self.settings: dict[str, Option] = {}
        if len(shown) < len(self.options):
            self.settings = {one.name: one for one in self.options if not one.is_argument}
            shown += [replace(one, help=one.help.format(name)) for one in _SETTINGS]
        super().__init__(
            name=name,
            help=inspect.getdoc(function),
            epilog=f"Example: [bold]{escape(example)}[/bold]",
            params=list(map(_make_parameter, shown)),
            callback=self._call,
            panel=panel,
            panels=[click.RichOptionPanel("Arguments", column_types=["metavar", "help"])],
        )

    @property
    def panels_of_settings(self) -> dict[str, list[Option]]:
        """Return the settings by the titles above them; the command's options come first."""
        found: dict[str, list[Option]] = {}
        for one in self.settings.values():
            found.setdefault(one.panel or "Options", []).append(one)
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; for an unknown option, name the nearest option or setting."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            flags = {flag: flag for one in self.params for flag in one.opts}
            known = {f"--{name}": f"--set {name}=VALUE" for name in self.settings} | flags
            hint = _did_you_mean(error.option_name, known) or f"see {ctx.command_path} --help"
            raise click.UsageError(f"there is no option {error.option_name}: {hint}") from None

    def _call(self, **values: Any) -> None:  # noqa: ANN401  an option's value
        given = {name: value for name, value in values.items() if value not in (None, ())}
        words, file = given.pop("set", ()), given.pop("config", None)
        named = self._read_settings("--set", map(_split_setting, words), Option.parse)
        if twice := named.keys() & given.keys():
            (name, *_) = (one.name for one in self.options if one.field in twice)
            raise click.UsageError(
                f"--{name} and --set {name}=… cannot be combined: use one of them"
            )
        given |= named
        if file:
            given = self._read_settings(str(file), _read_toml(file), Option.read) | given
        for one in self.options:
            if one.is_required and one.field not in given:
                raise click.UsageError(f"--{one.name} {one.metavar} is missing: {one.help.lower()}")
        groups = {
            name: {one.field: given.pop(one.field) for one in group.options if one.field in given}
            for name, group in self.groups.items()
        }
        self.function(**given, **groups)

    def _read_settings(
        self,
        place: str,
        settings: Iterable[tuple[str, Any]],
        convert: Callable[[Option, Any], Any],
    ) -> dict[str, Any]:
        """Return settings by their fields; `place` says where they are.

        Raises:
            UsageError: A name or a value is wrong.
        """
        found: dict[str, Any] = {}
        for name, value in settings:
            one = self.settings.get(name.replace("_", "-"))
            if one is None:
                hint = _did_you_mean(name, {name: name for name in self.settings})
                raise click.UsageError(
                    f"{place}: there is no setting {name}: "
                    f"{hint or f'`understudy settings {self.name}` lists them'}"
                )
            try:
                new = convert(one, value)
            except ValueError as error:
                raise click.UsageError(f"{place}: {name}: {error}") from error
            if one.is_repeated:
                new = (*found.get(one.field, ()), *(new if isinstance(new, tuple) else (new,)))
            found[one.field] = new
        return found


class _Value(click.ParamType[Any]):
    """Converts a word of the command line as its option declares."""

    def __init__(self, declared: Option) -> None:
        self.declared, self.name = declared, declared.metavar

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401  click's types
        if not isinstance(value, str):
            return value
        try:
            return self.declared.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:  # noqa: ANN401, ARG002
        if self.declared.kind is Path:
            return [CompletionItem(incomplete, type="file")]
        complete = self.declared.complete
        return [
            CompletionItem(word) for word in (complete(ctx.params, incomplete) if complete else ())
        ]


def make_app(
    help: str,  # noqa: A002  click's word
    program: str | None = None,
    check: Callable[[str], None] = lambda _: None,
) -> CommandGroup:
    """Return an empty command line; that of a whole program has --version and completion.

    `check` is called with the name of a program's command before it runs, and may raise.
    """

    def start() -> None:
        check(get_current_context().invoked_subcommand or "")

    app = CommandGroup(
        help=help,
        no_args_is_help=True,
        callback=start,
        context_settings={"rich_help_config": _HELP},
    )
    if program:
        variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
        app.epilog = f'Completion: eval "$({variable}=bash_source {program})"'
        click.version_option(
            VERSION, prog_name=program, message="%(prog)s %(version)s", help="Print the version"
        )(app)
    return app


def add_commands(
    app: CommandGroup,
    commands: Iterable[tuple[Callable[..., None], str]],
    panel: str | None = None,
    **names: str,
) -> None:
    """Add functions as commands, each with an example.

    `panel` is the title above them in the help. `names` gives a command's name if it differs from
    the function's.
    """
    for function, example in commands:
        name = function.__name__
        app.add_command(Command(function, names.get(name, name), example, panel))


def run_app(app: CommandGroup, program: str, *, exit_at_signals: bool) -> None:
    """Run a command line. An error that a person can fix is one line, with exit status 1.

    The exit status of wrong usage is 2.

    `exit_at_signals` turns SIGTERM and SIGHUP into SystemExit, so that files are cleaned up.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    signals = _exit_at_signals() if exit_at_signals else []
    try:
        sys.exit(app.main(prog_name=program, standalone_mode=False) or 0)
    except click.ClickException as error:
        _fail(program, error.format_message(), _USAGE)
    except click.Abort as error:  # at a question
        is_interrupted = isinstance(error.__context__, KeyboardInterrupt)
        _fail(program, *(("interrupted", INTERRUPTED) if is_interrupted else ("aborted",)))
    except UnderstudyError as error:
        _fail(program, str(error))
    except OSError as error:  # a full disk, a read-only folder, a file in place of a folder
        file = f" {error.filename}" if error.filename else ""
        _fail(program, f"cannot use{file}: {describe_error(error)}")
    except KeyboardInterrupt:
        _fail(program, "interrupted", INTERRUPTED)
    except Exception as error:  # noqa: BLE001  last resort: shown without its text
        if signals:  # a library replaced SystemExit by another error
            sys.exit(SIGNALLED + signals[0])
        print(traceback_without_text(error), file=sys.stderr)
        _fail(program, f"this is a bug in {program}: please report the lines above")


def _exit_at_signals() -> list[int]:
    """Turn signals into SystemExit; return the list of signals received."""
    signals: list[int] = []

    def exit_now(signal_number: int, _frame: object) -> None:
        signals.append(signal_number)
        sys.exit(SIGNALLED + signal_number)

    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is signal.SIG_DFL:  # nohup ignores it
            signal.signal(signal_number, exit_now)
    return signals


def _fail(program: str, text: str, status: int = 1) -> NoReturn:
    error = f"{program}: {make_printable_lines(text)}"
    if sys.stderr.isatty():
        width = min(shutil.get_terminal_size().columns, _MAX_WIDTH)
        error = "\n".join(
            textwrap.fill(
                line, width, subsequent_indent="  ",
                break_long_words=False, break_on_hyphens=False,
            )
            for line in error.split("\n")
        )  # fmt: skip
    print(error, file=sys.stderr)
    sys.exit(status)


def _make_parameter(one: Option) -> click.Parameter:
    """Return click's form of an option or an argument."""
    metavar = one.metavar + "..." * (one.is_argument and one.is_repeated)
    note = f"default: {one.shown_default}" if one.shown_default else ""
    if one.is_required and not one.is_argument:
        note = "required"
    text = escape(one.help) + (f" [dim]{escape(f'[{note}]')}[/dim]" if note else "")
    if one.is_argument:
        return click.RichArgument(
            [one.field],
            nargs=-1 if one.is_repeated else 1,
            required=one.is_required,
            metavar=metavar if one.is_required else f"[{metavar}]",
            type=_Value(one),
            help=text,
        )
    flags = f"--{one.name}" + f"/--no-{one.name}" * one.can_switch_off
    if one.kind is bool:
        return click.RichOption([flags, one.field], is_flag=True, default=None, help=text)
    return click.RichOption(
        [flags, one.field], metavar=metavar, multiple=one.is_repeated, type=_Value(one), help=text
    )


def _split_setting(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals:
        raise click.UsageError(f"--set {word}: write NAME=VALUE")
    return name, text


def _read_toml(file: Path) -> Iterable[tuple[str, Any]]:
    try:
        return tomllib.loads(file.read_text("utf-8")).items()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--config {file}: {describe_error(error)}") from error


def _did_you_mean(name: str, known: Mapping[str, str]) -> str:
    """Return a question about the nearest of the known names; "" if none is similar."""
    nearest = get_close_matches(name, known, n=1)
    return f"did you mean {known[nearest[0]]}?" if nearest else ""
