"""OpenAI's SDK: `mirrored_client` makes a query of each call of a client, `watch` records calls inside a mirrored run.

No module of this folder imports openai: clients and responses are known by what they hold.
"""

from shadoweval.adapters.openai.mirror import mirrored_client
from shadoweval.adapters.openai.recording import watch
from shadoweval.adapters.openai.replies import ModelFailedError, reply_of

__all__ = ["ModelFailedError", "mirrored_client", "reply_of", "watch"]
