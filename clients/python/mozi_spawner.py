"""Starts agents on a Mozi board and hears how they end.

One file, standard library only, Python 3.9 or newer. It has the calls of an in-process agent spawner; what runs the
agents is `mozi serve`, so an agent lives on when this program ends, and `resume_callbacks` takes its end up again.

    async with AgentSpawner(project="app", subagent_agent="helper") as spawner:
        session_id = await spawner.spawn_full_agent("coder", "Look at it", task_id="7", on_complete=free_slot)

Threads and loops: an `AgentSpawner` may be used from any thread and from several event loops, also one after the
other. A callback runs on the loop that asked for it; if that loop is gone, in a thread of the spawner. One thread
follows the board's events while somebody waits for one, and none otherwise; `close()` ends it.

`python -m mozi_spawner.bootstrap MODULE:CLASS` runs an existing bootstrap builder for `[bootstraps.…]` of mozi.toml.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import http.client
import importlib
import importlib.machinery
import inspect
import json
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, TextIO, Tuple, Union
from urllib.parse import quote, urlencode, urlsplit

__all__ = ["AgentSpawner", "BoardUnreachable", "MoziError", "Session", "SpawnError", "run_bootstrap"]
__version__ = "0.1.0"

log = logging.getLogger("mozi_spawner")

#: What is called when an agent has ended: `(agent_id, outcome)`, sync or async.
OnComplete = Callable[[str, str], Union[None, Awaitable[None]]]
Json = Dict[str, Any]

# The board sends a sign of life every 15 s: after three without one it is gone.
_SILENCE = 45.0
_CALL_TIMEOUT = 30.0
_MASKED = "mozi_a_****"


class MoziError(Exception):
    """The board has refused something. `code` is its stable word for why."""

    def __init__(self, detail: str, code: str = "", status: int = 0, problem: Optional[Json] = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.problem: Json = problem or {}


class BoardUnreachable(MoziError):
    """No board answers."""


class SpawnError(MoziError):
    """An agent could not be started. `waiting_for` says what holds it back, `session_id` which session failed."""

    def __init__(
        self, detail: str, code: str, status: int = 0, problem: Optional[Json] = None, session_id: Optional[str] = None
    ) -> None:
        super().__init__(detail, code, status, problem)
        self.session_id = session_id
        self.waiting_for: List[Json] = list(self.problem.get("waiting_for", []))


class Session(Dict[str, Any]):
    """A session as the board shows it, as a dict; `agent_id` is there beside `agent`."""

    def __init__(self, shown: Mapping[str, Any]) -> None:
        super().__init__(shown)
        self.setdefault("agent_id", self.get("agent"))

    @property
    def session_id(self) -> str:
        """Its id."""
        return str(self["session_id"])

    @property
    def agent_id(self) -> str:
        """Whose it is."""
        return str(self["agent_id"])

    @property
    def task_id(self) -> Optional[str]:
        """Its task, if it is at one."""
        return self.get("task_id")

    @property
    def pid(self) -> Optional[int]:
        """The agent's process, once it runs."""
        return self.get("pid")

    @property
    def status(self) -> str:
        """`starting`, `running`, `ending`, `stuck`, or the outcome."""
        return str(self["status"])

    @property
    def active(self) -> bool:
        """It has not ended."""
        return self.get("completed_at") is None


# --- The board over HTTP ----------------------------------------------------------------------------------------------


class _Board:
    """Calls that block; safe from any thread. Proxies of the environment are not looked at."""

    def __init__(self, url: Optional[str], token: Optional[str], patience: float) -> None:
        self._url, self._token, self.patience = url, token, patience

    def _where(self) -> Tuple[str, Optional[str]]:
        """Address and token, looked up anew each time: a restarted server may be elsewhere."""
        data = _data_dir()
        try:
            local: Optional[str] = str(json.loads((data / "server.json").read_text("utf-8"))["url"]).rstrip("/")
        except (OSError, ValueError, KeyError, TypeError):
            local = None
        url = (self._url or os.environ.get("MOZI_URL") or local or "").rstrip("/")
        if not url:
            raise BoardUnreachable(
                f"no board is known: no url is given, MOZI_URL is not set and nothing runs for {data}. "
                "Start one with `mozi serve`, or name one with url=",
                "no_board",
            )
        token = self._token or os.environ.get("MOZI_TOKEN")
        # The local board's own token goes to the local board and nowhere else.
        if not token and local and url.replace("//localhost:", "//127.0.0.1:") == local:
            with contextlib.suppress(OSError):
                token = (data / "token").read_text("utf-8").strip()
        return url, token or None

    def open(
        self, method: str, path: str, body: Optional[Json], headers: Mapping[str, str], timeout: float
    ) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse, socket.socket]:
        """Sends one request."""
        url, token = self._where()
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise MoziError(f"{url!r} is not the address of a board: it must be http://… or https://…", "bad_url")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=timeout)
        sent: Dict[str, str] = {"User-Agent": f"mozi-spawner/{__version__}", **headers}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode("utf-8")
            sent["Content-Type"] = "application/json"
        try:
            connection.connect()
            line: socket.socket = connection.sock
            connection.request(method, parts.path + path, body=data, headers=sent)
            return connection, connection.getresponse(), line
        except BaseException:
            connection.close()
            raise

    def call(self, method: str, path: str, body: Optional[Json] = None, key: Optional[str] = None) -> Any:
        """One call and its answer; a board that is away is waited for as long as patience lasts."""
        headers = {"Idempotency-Key": key} if key else {}
        until, pause = time.monotonic() + self.patience, 0.05
        while True:
            try:
                return self._once(method, path, body, headers)
            except MoziError as e:
                if e.code not in ("unavailable", "rate_limited", "no_board") or time.monotonic() + pause > until:
                    raise
            except (OSError, http.client.HTTPException) as e:
                if time.monotonic() + pause > until:
                    raise self.unreachable(e) from e
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _once(self, method: str, path: str, body: Optional[Json], headers: Mapping[str, str]) -> Any:
        connection, answer, _ = self.open(method, path, body, headers, _CALL_TIMEOUT)
        with contextlib.closing(connection):
            text = answer.read()
            if answer.status >= 300:
                raise problem(answer.status, text)
            return json.loads(text) if text else None

    def unreachable(self, why: BaseException) -> BoardUnreachable:
        """It in words, with the way out."""
        url, _ = self._where()
        return BoardUnreachable(
            f"no board answers at {url} ({why}): is `mozi serve` running there? url= or MOZI_URL names another",
            "no_board",
        )


def problem(status: int, text: bytes) -> MoziError:
    """A refusal as it stands in an answer."""
    try:
        body = json.loads(text)
        return MoziError(str(body["detail"]), str(body["code"]), status, body)
    except (ValueError, KeyError, TypeError):
        return MoziError(f"the board answered {status}: {text[:200]!r}", "", status)


def _data_dir() -> Path:
    for name, below in (("MOZI_DATA", ""), ("XDG_DATA_HOME", "mozi")):
        value = os.environ.get(name)
        if value and (name == "MOZI_DATA" or os.path.isabs(value)):
            return Path(value) / below
    return Path.home() / ".local" / "share" / "mozi"


def _path(*parts: str, **query: Any) -> str:
    asked = urlencode({k: v for k, v in query.items() if v is not None})
    return "/api/" + "/".join(quote(p, safe="") for p in parts) + (f"?{asked}" if asked else "")


def _time(text: Any) -> dt.datetime:
    whole, _, fraction = str(text).rstrip("Z").partition(".")
    micros = int((fraction + "000000")[:6] or 0)
    return dt.datetime.fromisoformat(whole).replace(microsecond=micros, tzinfo=dt.timezone.utc)


# --- What is followed -------------------------------------------------------------------------------------------------

_Attempt = Tuple[str, str, int]


class _Watched:
    """A session whose start or end somebody waits for."""

    def __init__(self, agent: str, callback: Optional[OnComplete], loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self.agent, self.callback, self.loop = agent, callback, loop
        self.session_id = ""
        self.attempt: Optional[_Attempt] = None
        #: Done when it runs or has ended.
        self.begun: concurrent.futures.Future[None] = concurrent.futures.Future()
        #: Its caller still waits for it to begin, and is told of a failed start by an exception.
        self.awaited = False
        self.outcome: Optional[str] = None
        #: What was before it was followed has been asked for.
        self.looked = False

    def is_at(self, shown: Mapping[str, Any]) -> None:
        """Takes over what the board says of it."""
        self.session_id = str(shown["session_id"])
        if shown.get("task_id") is not None:
            self.attempt = (str(shown["project_id"]), str(shown["task_id"]), int(shown["attempt_number"]))

    def as_session(self) -> Session:
        """As much of its session as is known here."""
        project, task, number = self.attempt or (None, None, None)
        shown: Json = {"session_id": self.session_id, "agent": self.agent, "project_id": project, "task_id": task}
        # No more is known of when it ended than that it has.
        ended = None if self.outcome is None else "unknown"
        return Session({**shown, "attempt_number": number, "status": self.outcome or "unknown", "completed_at": ended})

    def begins(self) -> None:
        """Whoever waits for the start goes on. Only under the spawner's lock."""
        if not self.begun.done():
            self.begun.set_result(None)

    def note(self) -> Json:
        """What a state file holds of it."""
        return {"agent": self.agent, "attempt": list(self.attempt) if self.attempt else None}


class _Stream:
    """One open stream of events."""

    def __init__(self, board: _Board, path: str, after: Optional[str]) -> None:
        headers = {"Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = after
        self._connection, self._answer, self._line = board.open("GET", path, None, headers, _CALL_TIMEOUT / 2)
        self._line.settimeout(_SILENCE)
        if self._answer.status != 200:
            with contextlib.closing(self._connection):
                raise problem(self._answer.status, self._answer.read())

    def messages(self) -> Iterator[Tuple[Optional[str], str]]:
        """Ids with what they stand for; comments are shown as empty messages."""
        place: Optional[str] = None
        data: List[str] = []
        while True:
            raw = self._answer.readline()
            if not raw:
                return
            line = raw.decode("utf-8").rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if line == "":
                yield place, "\n".join(data)
                data = []
            elif field == "id":
                place = value
            elif field == "data":
                data.append(value)

    def end(self) -> None:
        """Wakes whoever reads it. From any thread."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Frees its connection. By its reader."""
        self._answer.close()
        self._connection.close()


# --- The spawner ------------------------------------------------------------------------------------------------------


class AgentSpawner:
    """Starts agents and hears how they end.

    `url` and `token` default to MOZI_URL and MOZI_TOKEN, else to the local server's own files; `project` to
    MOZI_PROJECT, else `default`. `on_complete` is for every start that names no callback of its own. `state_file` keeps
    which callbacks are still owed, so that `resume_callbacks` finds them after a restart: one file, one process.
    `patience` is how long a board that is away is waited for, `spawn_timeout` how long an agent may take to begin
    before its id is returned without knowing.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        token: Optional[str] = None,
        project: Optional[str] = None,
        dry_run: bool = False,
        bootstrap_builder: Any = None,
        subagent_agent: Optional[str] = None,
        *,
        on_complete: Optional[OnComplete] = None,
        state_file: Union[str, "os.PathLike[str]", None] = None,
        patience: float = 5.0,
        spawn_timeout: float = 60.0,
    ) -> None:
        self.project = project or os.environ.get("MOZI_PROJECT") or "default"
        self.dry_run = dry_run
        self.bootstrap_builder = bootstrap_builder
        self.subagent_agent = subagent_agent
        self.spawn_timeout = spawn_timeout
        self._on_complete = on_complete
        self._board = _Board(url, token, patience)
        self._lock = threading.RLock()
        self._change = threading.Condition(self._lock)
        self._by_session: Dict[str, _Watched] = {}
        self._by_attempt: Dict[_Attempt, _Watched] = {}
        #: Ended, and their callbacks have not run to their end yet.
        self._owed: Dict[str, _Watched] = {}
        #: What this spawner has started itself: `resume_callbacks` leaves it alone.
        self._own: "OrderedDict[Any, None]" = OrderedDict()
        self._dry: Dict[str, Session] = {}
        self._previews: "OrderedDict[str, str]" = OrderedDict()
        self._tasks: Set["asyncio.Task[None]"] = set()
        self._pool: Optional[concurrent.futures.ThreadPoolExecutor] = None
        self._reader: Optional[threading.Thread] = None
        self._stream: Optional[_Stream] = None
        self._trouble: Optional[BaseException] = None
        self._held = 0
        self._connected = False
        self._closed = False
        self._cursor: Optional[str] = None
        self._state = Path(state_file).absolute() if state_file is not None else None
        self._left: Dict[str, Json] = _read_state(self._state)

    async def __aenter__(self) -> "AgentSpawner":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends following: callbacks that have begun run to their end, agents stay at work."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.close)
        # What was heard before that has been called by now.
        while waits := [t for t in list(self._tasks) if t.get_loop() is loop]:
            await asyncio.wait(waits)

    def close(self) -> None:
        """The same for a program without an event loop. Leaves no thread behind."""
        with self._lock:
            self._closed = True
            reader, pool = self._reader, self._pool
            if self._stream is not None:
                self._stream.end()
            self._change.notify_all()
        if reader is not None and reader is not threading.current_thread():
            reader.join(_CALL_TIMEOUT)
        if pool is not None:
            pool.shutdown(wait=True)

    # --- starting

    async def spawn_full_agent(
        self,
        agent_id: str,
        message: Optional[str],
        new_session: bool = False,
        task_id: Optional[str] = None,
        on_complete: Optional[OnComplete] = None,
        *,
        prompt: Optional[str] = None,
    ) -> str:
        """Starts an agent and returns the id of its session once it runs.

        With `task_id` it is a claim of that task: the board's own prompt for the task, with `message` as a part of it.
        Without, `message` is the whole prompt. `prompt` (`wrapped` or `verbatim`) says otherwise. Every start has a
        session of its own, whatever `new_session` says.

        Raises `SpawnError` if it is refused or cannot be started; `on_complete` is then not called. Otherwise it is
        called once, when this session has ended. Whoever cancels this call does not stop the agent: it stays in
        `active_sessions`, and its callback comes.
        """
        del new_session  # Two attempts never share a session: nothing of an earlier one can leak into this one.
        callback = on_complete or self._on_complete
        loop = asyncio.get_running_loop()
        if self.dry_run:
            return self._pretend(agent_id, task_id, callback, loop)
        text = self._own_part(message, task_id)
        body: Json = {"agent": agent_id}
        if task_id is not None:
            body.update(project_id=self.project, task_id=str(task_id))
        if text:
            body["message"] = text
        body["prompt"] = prompt or ("wrapped" if task_id is not None else "verbatim")
        w = _Watched(agent_id, callback, loop)
        w.awaited, failed = True, False
        try:
            await self._in_pool(self._order, w, body)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(w.begun)), self.spawn_timeout)
            failed = w.outcome == "spawn_failed"
        finally:
            # From here on nobody waits: what has ended meanwhile is told by its callback.
            with self._lock:
                w.awaited = False
                ended = w.outcome
            if ended is not None and not failed:
                self._tell(w, ended)
        if failed:
            self._forget(w)
            raise await self._in_pool(self._why, w)
        return w.session_id

    async def spawn_subagent(
        self, task_description: str, task_id: Optional[str] = None, on_complete: Optional[OnComplete] = None
    ) -> str:
        """Starts the agent that `subagent_agent=` names, as `spawn_full_agent` does."""
        if not self.subagent_agent:
            raise SpawnError(
                "no agent is named for subagents: AgentSpawner(subagent_agent=\"…\") says which one is started",
                "no_subagent_agent",
            )
        return await self.spawn_full_agent(
            self.subagent_agent, task_description, task_id=task_id, on_complete=on_complete
        )

    def _pretend(
        self, agent: str, task_id: Optional[str], callback: Optional[OnComplete], loop: asyncio.AbstractEventLoop
    ) -> str:
        now = dt.datetime.now(dt.timezone.utc).isoformat()
        sid = str(uuid.uuid4())
        project = self.project if task_id is not None else None
        shown: Json = {"session_id": sid, "agent": agent, "project_id": project, "task_id": task_id, "pid": None}
        shown.update(attempt_number=None, status="dry_run", started_at=now, completed_at=now)
        w = _Watched(agent, callback, loop)
        w.session_id = sid
        with self._lock:
            self._dry[sid] = Session(shown)
        log.info("dry run: %s would be started as session %s", agent, sid)
        self._tell(w, "dry_run")
        return sid

    def _order(self, w: _Watched, body: Json) -> None:
        """Asks the board for a session. Runs in a thread, to its end even if its caller has gone."""
        try:
            with self._following():
                shown = self._board.call("POST", _path("sessions"), body, key=str(uuid.uuid4()))
                w.is_at(shown)
                with self._lock:
                    for own in filter(None, (w.session_id, w.attempt)):
                        self._own[own] = None
                    while len(self._own) > 20_000:
                        self._own.popitem(last=False)
                self._watch(w)
        except BoardUnreachable:
            raise
        except MoziError as e:
            raise SpawnError(f"{w.agent} could not be started: {e.detail}", e.code, e.status, e.problem) from e

    def _why(self, w: _Watched) -> SpawnError:
        """Why it could not be started, as the board knows it."""
        why = ""
        shown: Json = {}
        with contextlib.suppress(MoziError):
            shown = self._board.call("GET", _path("sessions", w.session_id)) or {}
            why = str(shown.get("error") or "")
            if not why and w.attempt:
                project, task, number = w.attempt
                path = _path("projects", project, "tasks", task, "attempts", str(number))
                attempt = self._board.call("GET", path)
                why = str(attempt.get("metadata", {}).get("error") or attempt.get("reason") or "")
        why = why or "its program did not start; `mozi agent list` and `mozi doctor` say what stands in the way"
        return SpawnError(
            f"{w.agent} could not be started: {why}", "spawn_failed", problem=shown, session_id=w.session_id
        )

    # --- the registry

    @property
    def active_sessions(self) -> Dict[str, Session]:
        """The board's live sessions by id, whoever has started them. Asks the board."""
        if self.dry_run:
            return {}
        page = self._board.call("GET", _path("sessions", active="true", limit=500))
        return {s["session_id"]: Session(s) for s in page["items"]}

    def get_session(self, session_id: str) -> Optional[Session]:
        """A session, live or ended; None if the board knows none of this id. Asks the board."""
        with self._lock:
            if session_id in self._dry or self.dry_run:
                return self._dry.get(session_id)
        try:
            return Session(self._board.call("GET", _path("sessions", session_id)))
        except MoziError as e:
            if e.status == 404:
                return None
            raise

    def cleanup_session(self, session_id: str) -> bool:
        """Cleans up an ended session: its files go, its attempt and events stay. False if there is none; a live one is
        refused with `session_active`."""
        with self._lock:
            if session_id in self._dry or self.dry_run:
                return self._dry.pop(session_id, None) is not None
        try:
            self._board.call("DELETE", _path("sessions", session_id))
        except MoziError as e:
            if e.status == 404:
                return False
            raise
        return True

    # --- prompts

    def build_spawn_message(
        self,
        task: Any = None,
        *,
        role: str = "executor",
        project_config: Optional[Mapping[str, Any]] = None,
        **facts: Any,
    ) -> str:
        """What an agent is told of a task on the board: its facts, what happened before, how to report.

        `task` is an id, a mapping or an object with a `task_id`; facts beside it may be given by name. With a
        `bootstrap_builder` its text comes first; if it fails, that is logged and the board's own prompt stands alone.
        The text may be passed to `spawn_full_agent`: of what the board will say itself nothing is said twice.
        """
        given: Json = {"task_id": task} if isinstance(task, (str, int)) else _facts_of(task)
        given.update(facts)
        if given.get("task_id") is None:
            raise ValueError("build_spawn_message needs a task_id: agents are told of tasks that are on the board")
        task_id, project = str(given["task_id"]), str(given.get("project_id") or self.project)
        at = ("projects", project, "tasks", task_id)
        own = str(self._board.call("GET", _path(*at, "prompt", role=role))["text"])
        with self._lock:
            self._previews[task_id] = own
            while len(self._previews) > 1_000:
                self._previews.popitem(last=False)
        if self.bootstrap_builder is None:
            return own
        try:
            shown = self._board.call("GET", _path(*at, expand="attempts,outputs"))
            config = project_config or self._board.call("GET", _path("projects", project))
            known = {"task": {**shown, **given}, "role": role, "project": config}
            known["previous"] = shown.get("attempts") or []
            first = call_builder(self.bootstrap_builder, {**known, "attempt_number": (shown.get("attempt_number") or 0) + 1})
        except Exception:
            log.exception("the bootstrap builder failed for task %s: the board's own prompt is used", task_id)
            return own
        return f"{first.rstrip()}\n\n{own}"

    def _own_part(self, message: Optional[str], task_id: Optional[str]) -> str:
        text = message or ""
        if task_id is None:
            return text
        with self._lock:
            preview = self._previews.get(str(task_id))
        if preview and preview in text:
            text = text.replace(preview, "").strip()
        if _MASKED in text:
            log.warning("the message for task %s holds a masked token: its agent cannot report with that", task_id)
        return text

    # --- callbacks

    @property
    def cursor(self) -> Optional[str]:
        """How far the board's events have been read: a `since` for `resume_callbacks`."""
        return self._cursor

    async def resume_callbacks(
        self, since: Union[None, str, dt.datetime] = None, on_complete: Optional[OnComplete] = None
    ) -> List[Session]:
        """Takes up callbacks that a program before this one was owed. Returns their sessions, live and ended: each of
        them is told once, so a program that counts slots takes one for each.

        With a state file these are its sessions: those that ended in between are told now, the others when they end.
        Each is told at least once: again only if the program died while its callback ran. With `since` (a `cursor`, or
        a time with or without a zone), or without a state file, these are also all live sessions of the project and
        without a task, and those that have ended since then, whoever had started them.
        """
        callback = on_complete or self._on_complete
        if callback is None:
            raise ValueError("resume_callbacks needs a callback: on_complete= here or in AgentSpawner(…)")
        if since is not None and not isinstance(since, (str, dt.datetime)):
            raise TypeError("since is a cursor (str) or a datetime")
        if self.dry_run:
            return []
        live: List[Session] = await self._in_pool(self._resume, since, callback, asyncio.get_running_loop())
        return live

    def _resume(
        self, since: Union[None, str, dt.datetime], callback: OnComplete, loop: asyncio.AbstractEventLoop
    ) -> List[Session]:
        with self._following():
            found: Dict[str, _Watched] = {}
            ended: List[Tuple[_Watched, str]] = []
            for sid, note in self._left.items():
                w = _Watched(note["agent"], callback, loop)
                w.session_id, at = sid, note.get("attempt")
                w.attempt = (at[0], at[1], at[2]) if at else None
                found[sid] = w
            if since is not None or self._state is None:
                for shown in self._board.call("GET", _path("sessions", active="true", limit=500))["items"]:
                    if shown["project_id"] in (None, self.project) and shown["session_id"] not in found:
                        w = _Watched(shown["agent"], callback, loop)
                        w.is_at(shown)
                        found[w.session_id] = w
            if since is not None:
                ended = self._ended_since(since, callback, loop)
            keys = {w.attempt for w in found.values() if w.attempt}
            resumed: List[Session] = []
            for sid, w in found.items():
                with self._lock:
                    if sid in self._by_session or (sid in self._own and sid not in self._left):
                        continue
                resumed.append(self._watch(w) or w.as_session())
            for w, outcome in ended:
                known = w.session_id in found or w.attempt in keys
                if not known and w.session_id not in self._own and w.attempt not in self._own:
                    w.outcome = outcome
                    resumed.append(w.as_session())
                    self._tell(w, outcome)
            self._left = {}
            return resumed

    def _ended_since(
        self, since: Union[str, dt.datetime], callback: OnComplete, loop: asyncio.AbstractEventLoop
    ) -> List[Tuple[_Watched, str]]:
        found: List[Tuple[_Watched, str]] = []
        if isinstance(since, str):
            path: Tuple[str, ...] = ("events",)
            after = since
        else:
            since = since.astimezone(dt.timezone.utc)
            path = ("projects", self.project, "events")
            after = str(self._last_before(path, since))
            # The project's events do not tell of sessions without a task.
            for s in self._board.call("GET", _path("sessions", active="false", limit=500))["items"]:
                if s["task_id"] is None and _time(s["completed_at"]) >= since:
                    w = _Watched(s["agent"], callback, loop)
                    w.is_at(s)
                    found.append((w, str(s["status"])))
        while True:
            page = self._board.call("GET", _path(*path, after=after, limit=500))
            if not page["items"]:
                return found
            after = page["next_cursor"]
            for event in page["items"]:
                end = _end_of(event)
                if end is not None and event["project_id"] in (None, self.project):
                    w = _Watched(str(event["agent"]), callback, loop)
                    w.attempt, w.session_id = end[0], end[1] or self._session_of(end[0])
                    found.append((w, end[2]))

    def _session_of(self, attempt: Optional[_Attempt]) -> str:
        """The event of an attempt's end does not name its session."""
        project, task, number = attempt or ("", "", 0)
        try:
            shown = self._board.call("GET", _path("projects", project, "tasks", task, "attempts", str(number)))
            return str(shown["session_id"])
        except MoziError as e:
            if e.status != 404:
                raise
            return f"{project}/{task}#{number}"

    def _last_before(self, path: Sequence[str], since: dt.datetime) -> int:
        """The last event before a time. Ids count without a gap, so it is found by halving."""

        def newer(after: int) -> bool:
            try:
                items = self._board.call("GET", _path(*path, after=after, limit=1))["items"]
            except MoziError as e:
                if e.code == "events_expired":
                    return False
                raise
            return not items or _time(items[0]["at"]) >= since

        low, high = 0, 1
        while not newer(high):
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if newer(middle) else (middle + 1, high)
        return low

    # --- following

    async def _in_pool(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads(), work, *args)

    def _threads(self) -> concurrent.futures.ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise RuntimeError("this AgentSpawner is closed")
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="mozi-spawner")
            return self._pool

    @contextlib.contextmanager
    def _following(self) -> Iterator[None]:
        """The events are being read: what begins or ends from here on is heard."""
        until = time.monotonic() + self._board.patience
        with self._change:
            self._held += 1
            try:
                if self._reader is None and not self._closed:
                    self._trouble = None
                    self._reader = threading.Thread(target=self._read, name="mozi-spawner-events", daemon=True)
                    self._reader.start()
                while not self._connected:
                    left = until - time.monotonic()
                    if self._closed:
                        raise RuntimeError("this AgentSpawner is closed")
                    if isinstance(self._trouble, MoziError) and 400 <= self._trouble.status < 500:
                        raise self._trouble
                    if left <= 0 or not self._change.wait(left):
                        why = self._trouble or TimeoutError("no answer")
                        raise why if isinstance(why, MoziError) else self._board.unreachable(why)
            except BaseException:
                self._release()
                raise
        try:
            yield
        finally:
            with self._lock:
                self._release()

    def _release(self) -> None:
        self._held -= 1
        if not self._is_needed():
            if self._stream is not None:
                self._stream.end()
            self._change.notify_all()

    def _is_needed(self) -> bool:
        return not self._closed and bool(self._held or self._by_session or self._owed)

    def _watch(self, w: _Watched) -> Optional[Session]:
        """From here on its end is heard; what was before is asked for."""
        with self._lock:
            self._by_session[w.session_id] = w
            if w.attempt:
                self._by_attempt[w.attempt] = w
            self._save()
        try:
            return self._look(w)
        except MoziError as e:
            # It is there all the same; the reader looks again.
            log.info("session %s cannot be looked at now: %s", w.session_id, e)
            return None

    def _look(self, w: _Watched) -> Optional[Session]:
        shown = self.get_session(w.session_id)
        w.looked = True
        outcome = "unknown"
        if shown is not None and shown.active:
            if shown.status != "starting":
                self._begun(w)
            return shown
        if shown is not None:
            outcome = shown.status
        elif w.attempt:
            project, task, number = w.attempt
            with contextlib.suppress(MoziError):
                path = _path("projects", project, "tasks", task, "attempts", str(number))
                outcome = str(self._board.call("GET", path)["outcome"])
        self._ended(w, outcome)
        return shown

    def _begun(self, w: _Watched) -> None:
        with self._lock:
            w.begins()
            # Nobody hears of its end: nothing more to follow.
            if w.callback is None:
                self._forget(w)

    def _ended(self, w: _Watched, outcome: str) -> None:
        with self._lock:
            if self._by_session.get(w.session_id) is not w or w.outcome is not None:
                return
            w.outcome = outcome
            awaited = w.awaited
            w.begins()
        if not awaited:
            self._tell(w, outcome)

    def _forget(self, w: _Watched) -> None:
        with self._lock:
            if self._by_session.get(w.session_id) is w:
                del self._by_session[w.session_id]
            if w.attempt and self._by_attempt.get(w.attempt) is w:
                del self._by_attempt[w.attempt]
            self._owed.pop(w.session_id, None)
            self._save()

    def _tell(self, w: _Watched, outcome: str) -> None:
        """Has its callback called, on the loop that asked for it as long as there is one."""
        if w.callback is None:
            return self._forget(w)
        w.outcome = outcome
        with self._lock:
            self._owed[w.session_id] = w
        if w.loop is not None:
            try:
                w.loop.call_soon_threadsafe(self._call_on_loop, w, outcome)
                return None
            except RuntimeError:
                w.loop = None
        self._call_in_thread(w, outcome)
        return None

    def _call_on_loop(self, w: _Watched, outcome: str) -> None:
        done = _call(w, outcome)
        if inspect.isawaitable(done):
            task = asyncio.get_running_loop().create_task(self._finish(w, done))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._forget(w)

    async def _finish(self, w: _Watched, done: Awaitable[None]) -> None:
        await _await(w, done)
        self._forget(w)

    def _call_in_thread(self, w: _Watched, outcome: str) -> None:
        def run() -> None:
            done = _call(w, outcome)
            if inspect.isawaitable(done):
                asyncio.run(_await(w, done))
            self._forget(w)

        with contextlib.suppress(RuntimeError):
            self._threads().submit(run)

    def _orphans(self) -> None:
        """Callbacks whose loop was closed before it came to them."""
        with self._lock:
            lost = [w for w in self._owed.values() if w.loop is not None and w.loop.is_closed()]
            for w in lost:
                w.loop = None
        for w in lost:
            self._call_in_thread(w, w.outcome or "unknown")

    def _save(self) -> None:
        """Writes which callbacks are owed."""
        if self._state is None:
            return
        owed = {**self._left}
        for w in (*self._by_session.values(), *self._owed.values()):
            if w.callback is not None:
                owed[w.session_id] = w.note()
        text = json.dumps({"version": 1, "sessions": owed}, ensure_ascii=False, indent=1)
        temporary = self._state.with_name(f"{self._state.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._state)
        except OSError as e:
            log.error("could not write %s: %s; after a restart these callbacks are not resumed", self._state, e)

    def _read(self) -> None:
        """The reader: one thread, as long as somebody waits for an event."""
        cursor: Optional[str] = None
        pause = 0.05
        while True:
            try:
                try:
                    stream = _Stream(self._board, _path("events"), cursor)
                except MoziError as e:
                    # A token for one project reads that project's events.
                    if e.status != 403 or e.code != "forbidden":
                        raise
                    stream = _Stream(self._board, _path("projects", self.project, "events"), cursor)
                cursor = self._follow(stream, cursor)
                pause = 0.05
            except MoziError as e:
                if cursor is not None and e.status in (400, 410, 422):
                    cursor, pause = None, 0.0  # What is gone is looked up, session by session.
                else:
                    self._is_away(e)
            except Exception as e:  # Whatever it is: without this thread no callback would ever come.
                self._is_away(e)
            with self._change:
                if self._is_needed():
                    self._change.wait(pause)
                if not self._is_needed():
                    self._reader = None
                    return
            self._orphans()
            pause = min(max(pause * 2, 0.05), 1.0)

    def _is_away(self, why: BaseException) -> None:
        with self._change:
            if type(why) is not type(self._trouble):
                log.warning("the board's events cannot be read: %s", why)
            self._trouble = why
            self._change.notify_all()

    def _follow(self, stream: _Stream, cursor: Optional[str]) -> Optional[str]:
        resumed = cursor is not None
        try:
            with self._lock:
                self._stream = stream
            for place, data in stream.messages():
                with self._change:
                    if not self._connected:
                        self._connected, self._trouble = True, None
                        self._change.notify_all()
                        for w in self._by_session.values():
                            w.looked = w.looked and resumed
                    unsure = [] if data else [w for w in self._by_session.values() if not w.looked]
                for w in unsure:
                    self._look(w)
                if data:
                    try:
                        self._hear(json.loads(data))
                    except (ValueError, KeyError, TypeError) as e:
                        log.warning("an event is not understood (%r): %s", e, data[:500])
                if place:
                    cursor = self._cursor = place
                self._orphans()
                with self._lock:
                    if not self._is_needed():
                        break
        except (OSError, http.client.HTTPException) as e:
            log.info("the board's stream of events broke off: %s", e)
        finally:
            with self._lock:
                self._stream, self._connected = None, False
            stream.close()
        return cursor

    def _hear(self, event: Json) -> None:
        if event["event_type"] == "session_started":
            w = self._by_session.get(str(event["detail"].get("session_id")))
            if w is not None:
                self._begun(w)
            return
        end = _end_of(event)
        if end is not None:
            attempt, sid, outcome = end
            w = self._by_attempt.get(attempt) if attempt else self._by_session.get(sid)
            if w is not None:
                self._ended(w, outcome)


def _end_of(event: Json) -> Optional[Tuple[Optional[_Attempt], str, str]]:
    """The attempt or session whose end an event tells of, and its outcome."""
    detail = event["detail"]
    if event["event_type"] == "session_ended":
        return None, str(detail["session_id"]), str(detail["outcome"])
    if event["event_type"].startswith("agent_") and "outcome" in detail and event["attempt_number"] is not None:
        return (event["project_id"], event["task_id"], event["attempt_number"]), "", str(detail["outcome"])
    return None


def _read_state(path: Optional[Path]) -> Dict[str, Json]:
    if path is None or not path.exists():
        return {}
    state = json.loads(path.read_text("utf-8"))
    if state.get("version") != 1:
        raise ValueError(f"{path} is of a newer version of mozi_spawner, or no state file")
    return dict(state["sessions"])


def _call(w: _Watched, outcome: str) -> Union[None, Awaitable[None]]:
    try:
        return w.callback(w.agent, outcome) if w.callback else None
    except Exception:
        log.exception("the callback for the end of %s (%s) failed", w.agent, outcome)
        return None


async def _await(w: _Watched, done: Awaitable[None]) -> None:
    try:
        await done
    except Exception:
        log.exception("the callback for the end of %s failed", w.agent)


# --- Bootstrap builders -----------------------------------------------------------------------------------------------

_METHODS = ("build_bootstrap", "build", "build_prompt", "build_message", "__call__")


class Facts(Dict[str, Any]):
    """A task or a project for a builder: a dict whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _facts_of(task: Any) -> Json:
    if task is None:
        return {}
    if isinstance(task, Mapping):
        return dict(task)
    names = ("project_id", "task_id", "title", "description", "task_type", "priority", "must_haves")
    return {name: getattr(task, name) for name in names if hasattr(task, name)}


def call_builder(builder: Any, known: Mapping[str, Any]) -> str:
    """The text of a bootstrap builder: a class, an object or a function.

    `known` has `task`, `role` and `project`, perhaps `agent`, `attempt_number`, `previous`, `reviews` and `message`.
    Parameters are matched by name; a method with three of any other names gets task, role and project in this order.
    """
    task, project = Facts(known["task"]), Facts(known.get("project") or {})
    # What a result has to meet was one text for builders of old.
    if isinstance(task.get("must_haves"), list):
        task["must_haves"] = "\n".join(task["must_haves"])
    role = known.get("role", "executor")
    values: Json = {"task": task, "task_info": task, "task_data": task, "role": role}
    values.update(dict.fromkeys(("project_config", "config", "project_settings", "settings", "project"), project))
    values.update(dict.fromkeys(("previous", "previous_attempts", "attempts"), known.get("previous") or []))
    values.update(agent=known.get("agent"), agent_id=known.get("agent"), message=known.get("message"))
    values.update(attempt_number=known.get("attempt_number"), reviews=known.get("reviews") or [])
    values["project_id"] = task.get("project_id")
    for name in ("task_id", "title", "description", "task_type", "priority", "must_haves"):
        values[name] = task.get(name)
    tried: List[str] = []
    if inspect.isclass(builder):
        arguments = _arguments(builder, values, (), tried)
        if arguments is None:
            raise TypeError(f"{builder.__name__} cannot be made: {'; '.join(tried)}")
        builder = builder(*arguments[0], **arguments[1])
    methods = [(type(builder).__name__ + "." + name, getattr(builder, name, None)) for name in _METHODS]
    if inspect.isroutine(builder):
        methods = [(getattr(builder, "__name__", "function"), builder)]
    for name, method in methods:
        if not callable(method):
            continue
        arguments = _arguments(method, values, (task, role, project), tried, name)
        if arguments is not None:
            made = method(*arguments[0], **arguments[1])
            if inspect.isawaitable(made):
                made = _awaited(made)
            if not isinstance(made, str) or not made.strip():
                raise ValueError(f"{name} gave {'nothing' if not made else type(made).__name__}, and not a text")
            return made
    raise TypeError(
        f"there is no way to call {type(builder).__name__}: tried {'; '.join(tried) or 'its methods ' + ', '.join(_METHODS)}. "
        f"Known parameters: {', '.join(sorted(values))}"
    )


def _arguments(
    call: Any, values: Mapping[str, Any], in_order: Sequence[Any], tried: List[str], name: str = ""
) -> Optional[Tuple[List[Any], Json]]:
    """What to call it with; None and a word in `tried` if it wants what is not known."""
    name = name or getattr(call, "__name__", str(call))
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return ([], {}) if not in_order else None
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [p.name for p in needed if p.name not in values or p.kind is p.POSITIONAL_ONLY]
    if not unknown:
        keywords = {p.name: values[p.name] for p in named if p.name in values}
        if in_order and not keywords and any(p.kind is p.VAR_KEYWORD for p in parameters):
            keywords = {k: values[k] for k in ("task", "role", "project_config")}
        return [], keywords
    if in_order and len(needed) in (1, 3) and needed == plain[: len(needed)]:
        return list(in_order[: len(needed)]), {}
    tried.append(f"{name}{inspect.signature(call)}, of which {', '.join(unknown)} is not known")
    return None


def _awaited(made: Awaitable[Any]) -> Any:
    """Its result, in a loop of its own: there may be one running in this thread."""

    async def wait() -> Any:
        return await made

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()


def run_bootstrap(arguments: Sequence[str], given: TextIO, said: TextIO) -> int:
    """`python -m mozi_spawner.bootstrap MODULE:NAME`: the board's JSON comes in, the builder's text goes out."""
    module, colon, name = (arguments[0] if len(arguments) == 1 else "").partition(":")
    if not module or not colon or not name:
        print("usage: python -m mozi_spawner.bootstrap MODULE:CLASS   (JSON on standard input)", file=sys.stderr)
        return 2
    try:
        known = json.load(given)
        if not isinstance(known, dict) or not isinstance(known.get("task"), dict):
            raise ValueError("standard input holds no task")
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        # What a builder prints is no part of the prompt.
        with contextlib.redirect_stdout(sys.stderr):
            builder: Any = importlib.import_module(module)
            for part in name.split("."):
                builder = getattr(builder, part)
            text = call_builder(builder, known)
    except Exception as e:
        print(f"mozi_spawner.bootstrap {arguments[0]}: {type(e).__name__}: {e}", file=sys.stderr)
        return 1
    said.write(text)
    return 0


def main() -> int:
    """The program behind `python -m mozi_spawner.bootstrap`."""
    for stream in (sys.stdin, sys.stdout):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")
    return run_bootstrap(sys.argv[1:], sys.stdin, sys.stdout)


class _OneFile:
    """Finds `mozi_spawner.bootstrap` in this very file, where it was copied somewhere as it stands. The packaged
    `mozi_spawner` has a module for it."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Optional[importlib.machinery.ModuleSpec]:
        """Called by the import system."""
        if name != "mozi_spawner.bootstrap":
            return None
        loader = importlib.machinery.SourceFileLoader(name, __file__)
        return importlib.machinery.ModuleSpec(name, loader, origin=__file__)


if __name__ == "mozi_spawner" and "__path__" not in globals():
    __path__: List[str] = []
    sys.meta_path.append(_OneFile)

if __name__ == "__main__":
    sys.exit(main())
