"""Methods of models that leave no gradients behind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def without_gradients(method: Method) -> Method:
    """Decorator of a method of a model, or a generator: runs where nothing is remembered for gradients."""
    if inspect.isgeneratorfunction(method):

        @wraps(method)
        def generate(model: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
            # Between two values the caller's own state counts.
            generator = method(model, *arguments, **options)
            while True:
                with model.backend.kernels.without_gradients():
                    try:
                        value = next(generator)
                    except StopIteration:
                        return
                yield value

        return generate  # type: ignore[return-value]

    @wraps(method)
    def run(model: Any, *arguments: Any, **options: Any) -> Any:
        with model.backend.kernels.without_gradients():
            return method(model, *arguments, **options)

    return run  # type: ignore[return-value]
