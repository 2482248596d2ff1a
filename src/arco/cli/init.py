"""`arco init`: a project that works at once."""

from argparse import Namespace
from pathlib import Path

from arco.cli.failures import OK, CommandProblem
from arco.cli.terminal import Terminal
from arco.demo.examples import CODE, write_project
from arco.demo.source import DemoDataMissing


def init(args: Namespace, terminal: Terminal) -> int:
    """Write the files of a small project; what is there already stays as it is."""
    folder = Path(args.folder)
    if (folder / CODE).exists():
        raise CommandProblem(f"{folder / CODE} is there already", "choose an empty folder: arco init FOLDER")
    try:
        written = write_project(args.example, folder)
    except DemoDataMissing as missing:
        raise CommandProblem(missing.message, "pip install 'arco[demo]'") from missing
    if terminal.as_json:
        terminal.document({"folder": str(folder), "written": list(written)})
        return OK
    terminal.say(f"wrote {', '.join(written)}")
    where = "" if folder == Path() else f"cd {folder} && "
    terminal.note(f"next:  {where}arco dev")
    return OK
