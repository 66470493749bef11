"""Model providers: which endpoint serves a model, what it accepts, the call, and what its answer or its failure means.

`service.Providers` is the one entrance; `chat` holds it and nothing else of this package but the values in `types`.
"""

from mentha.providers.service import Providers
from mentha.providers.types import Completion, Delta, Options, ProviderCheck, Route, Usage

__all__ = ["Completion", "Delta", "Options", "ProviderCheck", "Providers", "Route", "Usage"]
