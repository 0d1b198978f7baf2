"""Checks of the paths that a command will write, made before its work so that the work is not lost."""

from pathlib import Path

from stream.cli.exit_codes import ExitCode, Failure


def require_file_path(path: Path) -> None:
    """Check that a file can be created or replaced at ``path``.

    Raises:
        Failure: It is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise Failure(f"{path} is a folder; name the file to write.", ExitCode.USAGE)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise Failure(f"There is no folder {folder} to write {path.name} into; make it first.", ExitCode.DATA)


def require_folder_path(path: Path, option: str) -> None:
    """Check that ``path`` is a folder or can become one.

    Raises:
        Failure: It is a file.
    """
    if path.exists() and not path.is_dir():
        raise Failure(f"{path} is a file; give {option} a folder.", ExitCode.USAGE)
