"""Why a request is not answered with a prediction, in the words of HTTP and of gRPC."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Kinds of failures: status of HTTP, and the name of gRPC's status code.

    https://grpc.github.io/grpc/core/md_doc_statuscodes.html
    """

    INVALID = (400, "INVALID_ARGUMENT")
    NOT_FOUND = (404, "NOT_FOUND")
    TOO_LARGE = (413, "RESOURCE_EXHAUSTED")
    OVERLOADED = (429, "RESOURCE_EXHAUSTED")
    FAILED = (500, "INTERNAL")
    UNAVAILABLE = (503, "UNAVAILABLE")
    TIMED_OUT = (504, "DEADLINE_EXCEEDED")

    @property
    def http(self) -> int:
        """Status of HTTP."""
        return self.value[0]

    @property
    def grpc(self) -> str:
        """Name of gRPC's status code."""
        return self.value[1]


class RequestError(Exception):
    """A request cannot be answered; the client gets the message.

    Attributes:
        fault: What kind of failure it is.
    """

    def __init__(self, fault: Fault, message: str):
        super().__init__(message)
        self.fault = fault


def invalid(message: str) -> RequestError:
    """The client has to change its request."""
    return RequestError(Fault.INVALID, message)
