"""What a run does, recorded while it runs; and who answers its tools. Used by the mirror and by candidates alike."""

from shadoweval.capture.copying import UNCOPYABLE, uncopyable
from shadoweval.capture.interception import ToolFailedError, interceptor, set_interceptor
from shadoweval.capture.outcomes import Extract, outcome_of
from shadoweval.capture.recorder import Parts, Recorder, recording
from shadoweval.capture.steps import record_cache, record_hits, record_model_call, retriever, step
from shadoweval.capture.tools import acall_tool, call_tool, tool

__all__ = [
    "UNCOPYABLE",
    "Extract",
    "Parts",
    "Recorder",
    "ToolFailedError",
    "acall_tool",
    "call_tool",
    "interceptor",
    "outcome_of",
    "record_cache",
    "record_hits",
    "record_model_call",
    "recording",
    "retriever",
    "set_interceptor",
    "step",
    "tool",
    "uncopyable",
]
