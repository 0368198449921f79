"""Ray, as a client of a cluster that is there. It is imported here alone, and only where a cluster is asked for."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.errors import RequestError
from engine.runs.executors import at_node

NAMESPACE = "subpop"  # of our actors' names
WITHIN_S = 10.0  # to be answered at all
TRIES = 3  # of being taken in
HEAD_BUSY = "Initialization failure from server"  # mostly: it was too busy to start a process for us in time
ADDRESS = re.compile(r"ray://(\[[^\]\s]+\]|[^/:\s]+):(\d{1,5})")
INSTALL = "install it here and on every node; in a checkout: uv sync --extra ray; of a wheel: its path, and [ray] behind it"


# What Ray does unasked. Once its cluster is gone, any call of a client would start another on this machine, for all of the network to see;
# under `uv run` it would send the working directory to the cluster, and have uv install what lies there.
WITHOUT = {"RAY_ENABLE_AUTO_CONNECT": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def library() -> Any:
    """ray. RequestError where it is not installed; nothing else of ours needs it."""
    os.environ |= WITHOUT
    try:
        import ray
        import ray.util.client  # what ray:// needs of gRPC
    except ImportError as error:
        raise RequestError(f"needs Ray, which is not installed ({error})", where="--cluster", next=INSTALL) from error
    return ray


def check_address(address: str) -> tuple[str, int]:
    """Host and port. RequestError where it is no address of a cluster."""
    found = ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[2]) < 1 << 16:
        raise RequestError(
            f"{address!r} is no address of a Ray cluster", where="--cluster", next="give it as ray://HOST:PORT, as ray://head:10001"
        )
    return found[1].strip("[]"), int(found[2])


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Ray, as a client of a cluster. RequestError where there is none, or it does not take us."""
    ray = library()
    host, port = check_address(address)
    try:
        socket.create_connection((host, port), WITHIN_S).close()
    except OSError as error:
        raise nobody(address, error.strerror or str(error)) from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what goes wrong is told once, by us
    for left in reversed(range(TRIES)):
        try:
            _greet(host, port)
            ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.CRITICAL)
            break
        except Exception as error:
            if left and HEAD_BUSY in str(error):
                continue
            raise refused(address, error) from error
    ray.cloudpickle.register_pickle_by_value(at_node)
    try:
        yield ray
    finally:
        ray.shutdown()


def _greet(host: str, port: int) -> None:
    """One call of Ray's own protocol. Its client tries for half a minute, and then does not say what was wrong."""
    try:
        from ray._private.grpc_utils import init_grpc_channel
        from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc

        words: Any = ray_client_pb2  # which have no types
        question = words.ClusterInfoRequest(type=words.ClusterInfoType.PING)
    except (ImportError, AttributeError):  # a later Ray has them elsewhere: its client will say what it says
        return
    with init_grpc_channel(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") as channel:
        ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(question, timeout=WITHIN_S)


def nobody(address: str, why: str) -> RequestError:
    advice = "look for it with: ray status; ray start --head shows its client's port, which is 10001 where none was given"
    return RequestError(f"nobody answers there ({why})", where=address, next=advice)


def refused(address: str, error: Exception) -> RequestError:
    details = getattr(error, "details", None)  # gRPC's
    said = str(details() if callable(details) else error).strip()
    text = " ".join((said.splitlines()[-1] if HEAD_BUSY in said else said).split())  # of a traceback there its last line
    low = text.lower()
    if "token" in low or "unauthenticated" in low:
        advice = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, as on the cluster"
        return RequestError("the cluster does not take this token, or asks for one", where=address, next=advice)
    if ("version" in low and "mismatch" in low) or "python version" in low:
        return RequestError(
            f"another version is at work there: {text[:300]}", where=address, next="use the same Python and Ray here and there"
        )
    code = getattr(error, "code", None)  # gRPC's
    return nobody(address, text[:300] or (f"gRPC says {code().name}" if callable(code) else type(error).__name__))
