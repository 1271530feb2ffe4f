"""What replicas reply with. Nothing here needs PyTorch, which takes seconds to import."""

from cache_models.network.stages import Activation, Answer, Verdict

REPLIES = {kind.__name__: kind for kind in (Activation, Answer, Verdict)}
