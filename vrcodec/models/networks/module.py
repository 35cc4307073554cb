"""Modules: parameters by name, and what is computed with them, whatever library has the arrays.

What `torch.nn.Module` is to PyTorch, as far as coding and training need it, under the same names. Parameters
are NumPy arrays at first; `Module.map` puts them elsewhere, and in training they are `torch.nn.Parameter`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vrcodec.kernels import Array

Values = npt.NDArray[Any]
Self = TypeVar("Self", bound="Module")

# Draws initial parameters; None where they are about to be loaded.
_generator: ContextVar[np.random.Generator | None] = ContextVar("generator", default=None)


@contextmanager
def initialised(seed: int) -> Iterator[None]:
    """Parameters of modules that are made inside begin at random values, those of ``seed``."""
    token = _generator.set(np.random.default_rng(seed))
    try:
        yield
    finally:
        _generator.reset(token)


@contextmanager
def uninitialised() -> Iterator[None]:
    """Parameters of modules that are made inside begin at zero: they are about to be replaced."""
    token = _generator.set(None)
    try:
        yield
    finally:
        _generator.reset(token)


def initialises() -> bool:
    """Whether modules that are made now get random initial parameters."""
    return _generator.get() is not None


def uniform(shape: tuple[int, ...], fan_in: int) -> Values:
    """Initial values within 1 / sqrt(``fan_in``), as PyTorch has them for layers; zeros without a generator."""
    generator = _generator.get()
    if generator is None:
        return np.zeros(shape, np.float32)
    bound = 1 / math.sqrt(fan_in)
    return generator.uniform(-bound, bound, shape).astype(np.float32)


def normal(shape: tuple[int, ...], deviation: float) -> Values:
    """Initial values of a Gaussian; zeros without a generator."""
    generator = _generator.get()
    if generator is None:
        return np.zeros(shape, np.float32)
    return (deviation * generator.standard_normal(shape)).astype(np.float32)


class _Slot:
    """A new attribute of a module that is to be found by name, with its initial values."""

    def __init__(self, values: Values, trained: bool) -> None:
        self.values, self.trained = values, trained


def parameter(values: Values) -> Array:
    """What makes an attribute of a module a parameter, with its initial ``values``."""
    return _Slot(values, True)


def buffer(values: Values) -> Array:
    """What makes an attribute an array that is stored with the parameters, and not trained."""
    return _Slot(values, False)


class Module:
    """Attributes that are a `parameter`, a `buffer` or other modules are found by name, as in ``a.0.weight``.

    Modules of PyTorch may be among them. A subclass has `forward`, which a call of the module runs.
    """

    training = False

    def __init__(self) -> None:
        self._parameters: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}
        self._modules: dict[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, _Slot):
            (self._parameters if value.trained else self._buffers)[name] = value.values
        elif _is_module(value) or (value is None and name in self.__dict__.get("_modules", ())):
            self.__dict__.pop(name, None)
            self._modules[name] = value
        elif name in self.__dict__.get("_parameters", ()):
            self._parameters[name] = value
        elif name in self.__dict__.get("_buffers", ()):
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for kind in ("_parameters", "_buffers", "_modules"):
            named = self.__dict__.get(kind, {})
            if name in named:
                return named[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.forward(*arguments, **options)

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError

    # --- what there is ---

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """The modules that are attributes of this one."""
        yield from ((name, child) for name, child in self._modules.items() if child is not None)

    def children(self) -> Iterator[Any]:
        """The modules that are attributes of this one."""
        yield from (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """This module, as ``prefix``, and all below it."""
        yield prefix, self
        for name, child in self.named_children():
            below = f"{prefix}.{name}" if prefix else name
            if isinstance(child, Module):
                yield from child.named_modules(below)
            else:
                yield from child.named_modules(prefix=below)

    def modules(self) -> Iterator[Any]:
        """This module and all below it."""
        yield from (module for _, module in self.named_modules())

    def get_submodule(self, name: str) -> Any:
        """The module with this name."""
        module: Any = self
        for part in name.split("."):
            module = getattr(module, part)
        return module

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Array]]:
        """All parameters."""
        yield from self._named("_parameters", prefix)

    def parameters(self) -> Iterator[Array]:
        """All parameters."""
        yield from (parameter for _, parameter in self.named_parameters())

    def get_parameter(self, name: str) -> Array:
        """The parameter with this name."""
        module, _, last = name.rpartition(".")
        return getattr(self.get_submodule(module) if module else self, last)

    def _named(self, kind: str, prefix: str) -> Iterator[tuple[str, Array]]:
        for path, module in self.named_modules(prefix):
            for name, value in getattr(module, kind).items():
                if value is not None:
                    yield (f"{path}.{name}" if path else name), value

    # --- their values ---

    def state_dict(self) -> dict[str, Array]:
        """Parameters and buffers by name."""
        return {
            name: _detached(value)
            for kind in ("_parameters", "_buffers")
            for name, value in self._named(kind, "")
        }

    def load_state_dict(self, state: Mapping[str, Array], *, strict: bool = True) -> None:
        """Take the values of ``state``, which must have all names and no others unless not ``strict``.

        Raises ValueError where that is not so, or where a shape is another one.
        """
        present = self.state_dict()
        missing, unknown = present.keys() - state.keys(), state.keys() - present.keys()
        if strict and (missing or unknown):
            raise ValueError(f"tensors missing: {sorted(missing)}; unknown: {sorted(unknown)}")
        for name in present.keys() & state.keys():
            self._load(name, state[name])

    def _load(self, name: str, value: Array) -> None:
        path, _, last = name.rpartition(".")
        module = self.get_submodule(path) if path else self
        present = getattr(module, last)
        if tuple(present.shape) != tuple(value.shape) and not _may_change_size(module, last):
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, and {tuple(present.shape)} is expected"
            )
        if not isinstance(present, np.ndarray) and tuple(present.shape) == tuple(value.shape):
            _copy(present, value)
        else:
            setattr(module, last, _converted(value, present))

    def with_parameters(self: Self, state: Mapping[str, Array]) -> Self:
        """A copy of this module that computes with other parameters, of the same names."""
        twin = copy.copy(self)
        twin._parameters = {name: state[name] for name in self._parameters}
        twin._modules = {}
        for name, child in self._modules.items():
            below = {
                k.removeprefix(name + "."): v for k, v in state.items() if k.startswith(name + ".")
            }
            twin._modules[name] = child.with_parameters(below)
        return twin

    def map(self: Self, function: Callable[[Array], Array]) -> Self:
        """Replace parameters and buffers by what ``function`` makes of them, but for modules of PyTorch."""
        for module in self.modules():
            if isinstance(module, Module):
                for values in (module._parameters, module._buffers):
                    for name, value in values.items():
                        values[name] = function(value)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Set ``training`` of this module and all below it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """`train` with False."""
        return self.train(False)

    def requires_grad_(self: Self, mode: bool = True) -> Self:
        """Whether parameters, in training, have gradients."""
        for parameter in self.parameters():
            if not isinstance(parameter, np.ndarray):
                parameter.requires_grad_(mode)
        return self


def _is_module(value: object) -> bool:
    return isinstance(value, Module) or hasattr(value, "named_modules")


def _may_change_size(module: object, name: str) -> bool:
    return name in getattr(module, "resizable", ())


def _detached(value: Array) -> Array:
    return value if isinstance(value, np.ndarray) else value.detach()


def _converted(value: Array, present: Array) -> Array:
    """``value`` in the library and the type of ``present``."""
    if isinstance(present, np.ndarray):
        values = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
        return values.astype(present.dtype, copy=False)
    import torch

    return torch.as_tensor(value).to(present)


def _copy(present: Array, value: Array) -> None:
    """Copy into a tensor of PyTorch, which an optimizer may know."""
    import torch

    with torch.no_grad():
        # From the file's type to that of the parameter.
        present.copy_(torch.as_tensor(value))


class ModuleList(Module):
    """Modules whose names are numbers."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        self._modules.update({str(number): module for number, module in enumerate(modules)})

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __getitem__(self, number: int) -> Any:
        return list(self._modules.values())[number]


class Sequential(ModuleList):
    """Modules that are run one after the other."""

    def forward(self, x: Array) -> Array:
        for module in self:
            x = module(x)
        return x


class ModuleDict(Module):
    """Modules by name."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and modules."""
        return iter(self._modules.items())

    def values(self) -> Iterator[Any]:
        """The modules."""
        return iter(self._modules.values())


class ParameterDict(Module):
    """Parameters by name."""

    def __init__(self, parameters: Mapping[str, Values]) -> None:
        super().__init__()
        self._parameters.update(parameters)

    def __getitem__(self, name: str) -> Array:
        return self._parameters[name]
