"""Files of the Hugging Face Hub by name, through huggingface_hub (the extra `hub`).

    path = download("hf://owner/name")                                  # model.safetensors of the repository
    path = download("hf://owner/name@v2/other/detector.safetensors")    # of a revision, another file
    address = upload("owner/name", {"model.safetensors": path}, private=True, message="500 more photographs")

huggingface_hub keeps the files and asks the server for a newer version each time; without a network the last one is
used. They are in $RESDET_CACHE/hub, else where huggingface_hub keeps its own ($HF_HOME/hub). $HF_ENDPOINT is another
server; tokens are those of `hf auth login` or $HF_TOKEN.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resdet.errors import UserError

FILE = "model.safetensors"  # where no other file is named; the name under which the Hub counts and shows weights

_LOCAL = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
)  # this machine's faults, not the network's

# One slash too, which is what pathlib leaves of two.
_NAME = re.compile(r"hf:/{1,2}(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?")
_WEIGHTS = (".safetensors", ".pth", ".pt", ".pkl")  # a config of somebody else would be run
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository."""

    repo: str  # "owner/name"
    file: str = FILE
    revision: str | None = None  # a branch, tag or commit; None: the main branch

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repo}{revision}" + (f"/{self.file}" if self.file != FILE else "")


def hub_file(source: str | Path) -> HubFile | None:
    """What a name of the form hf://owner/name[@revision][/file] stands for; None for anything else.

    Raises:
        UserError: it begins with hf:// and has another form, or names a file that holds no weights.
    """
    text = str(source)
    if not text.startswith("hf:/") or os.path.exists(text):
        return None
    match = _NAME.fullmatch(text)
    if match is None:
        raise UserError(
            f"hf://{text[3:].lstrip('/')}: wanted is hf://owner/name, hf://owner/name@revision or hf://owner/name/file"
        )
    file = match["file"] or FILE
    if not file.endswith(_WEIGHTS):
        raise UserError(f"hf://{text[3:].lstrip('/')}: only weights are read from the Hub ({', '.join(_WEIGHTS)})")
    return HubFile(check_repo(match["repo"]), file, match["revision"])


def local_file(source: str | Path) -> str | Path:
    """The file of a name hf://owner/name, downloaded if there is none or a newer one; all else as it is.

    Raises:
        UserError: as `download`.
    """
    return source if hub_file(source) is None else download(source)


def is_downloaded(path: Path) -> bool:
    """Whether a file is one of huggingface_hub's cache, beside which nothing should be written."""
    return any(folder.name == "snapshots" for folder in path.parents)


def download(source: str | Path) -> Path:
    """Fetch a file of the Hub, unless the newest version is here.

    Args:
        source: hf://owner/name[@revision][/file].

    Returns:
        Its path in the cache.

    Raises:
        UserError: huggingface_hub is not installed, there is no such repository, revision or file, it is not public, or
            there is neither a network nor an earlier copy.
    """
    wanted = hub_file(source)
    assert wanted is not None, source
    hub = _package(str(wanted))
    cache = os.environ.get("RESDET_CACHE")
    with _explained(str(wanted), f"has no file {wanted.file}"):
        return Path(
            hub.hf_hub_download(
                wanted.repo, wanted.file, revision=wanted.revision, endpoint=_endpoint(), library_name="resdet",
                cache_dir=Path(cache).expanduser() / "hub" if cache else None,
            )
        )  # fmt: skip


def upload(repo: str, files: Mapping[str, Path], private: bool, message: str) -> str:
    """Put files into a repository of models in one commit; the repository is made if it does not exist.

    Args:
        repo: "owner/name".
        files: by their names there. A README.md that the repository has is left as it is.
        private: whether the repository is seen by its owner alone; a public one is refused then.
        message: of the commit.

    Returns:
        The address of the repository.

    Raises:
        UserError: huggingface_hub is not installed, nobody is logged in, the repository may not be written or is
            public where a private one is wanted, or there is no network.
    """
    hub = _package(check_repo(repo))
    api = hub.HfApi(endpoint=_endpoint(), library_name="resdet")
    with _explained(repo, "cannot be written"):
        address = str(api.create_repo(repo, private=private, exist_ok=True))
        public = private and not api.repo_info(repo).private
    if public:
        raise UserError(f"{repo} is there already and is public; make it private on its page, or leave --private out")
    with _explained(repo, "cannot be written"):
        kept = [name for name in files if name == "README.md" and api.file_exists(repo, name)]
        additions = [hub.CommitOperationAdd(name, str(path)) for name, path in files.items() if name not in kept]
        api.create_commit(repo, additions, commit_message=message)
    return address


def check_repo(name: str) -> str:
    """Check that this is the name of a repository, owner/name; the `name` is returned.

    Raises:
        UserError: it is none.
    """
    if not _REPO.fullmatch(name):
        raise UserError(f"{name}: no name of a repository; wanted is owner/name, of letters, digits, -, _ and .")
    return name


def _package(name: str) -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(f"{name}: the Hub needs a package: pip install 'resdet[hub]'") from None
    return huggingface_hub


def _endpoint() -> str | None:
    """$HF_ENDPOINT as it is now; huggingface_hub reads it once, when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _explained(name: str, missing: str) -> Iterator[None]:
    """Say in one line what huggingface_hub reports in several, by classes of several libraries.

    Args:
        name: what is read or written.
        missing: what the repository lacks if the server finds no entry.
    """
    from huggingface_hub import errors

    login = "log in with 'hf auth login', or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError:
        raise UserError(f"{name}: its owner grants access on request: ask on its page, then {login}") from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"{name}: there is no such repository, or it is private; check the name, or {login}") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{name}: the repository has no such revision") from None
    except errors.LocalEntryNotFoundError as error:
        raise UserError(f"{name}: no network ({_line(error.__cause__ or error)}), and no earlier copy here") from None
    except errors.EntryNotFoundError:
        raise UserError(f"{name}: the repository {missing}") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        remedy = f"; {login}" if status in (401, 403) else ""
        raise UserError(f"{name}: the server refuses ({_line(error)}){remedy}") from None
    except (errors.HFValidationError, ValueError) as error:
        raise UserError(f"{name}: {_line(error)}") from None
    except OSError as error:
        if error.errno in _LOCAL:
            raise  # the command line says what to do about a full disk or a missing permission
        raise UserError(f"{name}: the Hub cannot be reached ({_line(error)})") from None
    except Exception as error:  # of the HTTP library's and of its connections' many classes
        raise UserError(f"{name}: the Hub cannot be reached ({_line(error)})") from None


def _line(error: BaseException) -> str:
    """The first line of an error, without the addresses and the number of the request."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return re.split(r" for url| \(Request ID", line)[0].rstrip(".:") or type(error).__name__
