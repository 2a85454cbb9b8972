"""Translate the text of `proof/model.py` to Murphi, the language of the model checker rumur."""

import ast
from collections.abc import Collection, Iterator, Sequence
from enum import EnumMeta
from types import ModuleType
from typing import Any

_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Eq: "=",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_COMPUTED: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-"}
_QUANTIFIERS = {"all": "forall", "any": "exists"}


def translate(source: str, without: Collection[str] = ()) -> str:
    """`source`: the text of the model. `without`: names of properties to leave out.

    Raises `TypeError` for Python that has no counterpart in the translation.
    """
    module = load(source)
    tree = ast.parse(source)
    left_out = {each.holds.__name__ for each in module.PROPERTIES if each.name in without}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name not in left_out]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    text = _Text(module, {f"{name.upper()}S": name for name in module.RANGES})
    return "\n\n".join((*text.types(classes), text.start(), *text.definitions(functions))) + "\n"


def load(source: str) -> Any:
    """The model as a module; for `proof/model.py` itself import it instead."""
    module = ModuleType("model")
    module.__dict__["__name__"] = "proof.model"
    exec(compile(source, "proof/model.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (the text of the repository)
    return module


class _Text:
    def __init__(self, module: Any, ranges: dict[str, str]) -> None:
        """`ranges`: the constants that a `for` may loop over, with the names of their types."""
        self._module, self._ranges = module, ranges
        self._aliases: dict[str, str] = {}

    # ---- types and the first state

    def types(self, classes: Sequence[ast.ClassDef]) -> Iterator[str]:
        for name, values in self._module.RANGES.items():
            yield f"type {name}: {values.start}..{values.stop - 1};"
        for node in classes:
            made = getattr(self._module, node.name)
            if isinstance(made, EnumMeta):
                yield f"type {node.name}: enum {{ {', '.join(made.__members__)} }};"
            elif node.name == "State":
                yield f"var\n{self._fields(node)}"
            elif node.name not in {"Rule", "Property"}:
                yield f"type {node.name}: record\n{self._fields(node)}\nend;"

    def _fields(self, node: ast.ClassDef) -> str:
        return "\n".join(
            f"  {each.target.id}: {_type(each.annotation)};"
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        )

    def start(self) -> str:
        values = "\n".join(f"  {path} := {show(value)};" for path, value in leaves(self._module.State()))
        return f"startstate begin\n{values}\nend;"

    # ---- rules, functions, properties

    def definitions(self, functions: Sequence[ast.FunctionDef]) -> Iterator[str]:
        mine = [node for node in functions if node.args.args and node.args.args[0].arg in {"s", "c"}]
        plain = [node for node in mine if not node.decorator_list]
        yield from map(self._function, _in_order_of_calls(plain))
        yield from (self._decorated(node) for node in mine if node.decorator_list)

    def _function(self, node: ast.FunctionDef) -> str:
        parameters = _parameters(node)
        if _type(node.returns) == "None":
            return f"procedure {node.name}({parameters});\nbegin\n{self._block(node.body)}end;"
        return f"function {node.name}({parameters}): {_type(node.returns)};\nbegin\n{self._block(node.body)}end;"

    def _decorated(self, node: ast.FunctionDef) -> str:
        (decorator,) = node.decorator_list
        assert isinstance(decorator, ast.Call)
        assert isinstance(decorator.func, ast.Name)
        (argument,) = decorator.args
        if decorator.func.id != "rule":
            assert isinstance(argument, ast.Constant)
            (returned,) = _without_docstring(node.body)
            assert isinstance(returned, ast.Return)
            return f'{decorator.func.id} "{argument.value!s}"\n  {self.expression(returned.value)};'
        assert isinstance(argument, ast.Lambda)
        guard, body = self.expression(argument.body), self._block(node.body)
        written = f'rule "{node.name}"\n  {guard}\n==>\nbegin\n{body}end;'
        return f"ruleset {_parameters(node)} do\n{written}\nend;" if len(node.args.args) > 1 else written

    # ---- statements

    def _block(self, body: Sequence[ast.stmt]) -> str:
        outer, self._aliases = self._aliases, dict(self._aliases)
        text = "".join(self._statement(each) for each in _without_docstring(body))
        self._aliases = outer
        return text

    def _statement(self, node: ast.stmt) -> str:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):  # Murphi has no references
                self._aliases[name] = self.expression(value)
                return ""
            case ast.Assign(targets=[target], value=value):
                return f"{self.expression(target)} := {self.expression(value)};\n"
            case ast.If(test=test, body=body, orelse=orelse):
                other = f"else\n{self._block(orelse)}" if orelse else ""
                return f"if {self.expression(test)} then\n{self._block(body)}{other}end;\n"
            case ast.For(target=ast.Name(id=name), iter=ast.Name(id=values), body=body):
                return f"for {name}: {self._ranges[values]} do\n{self._block(body)}end;\n"
            case ast.Assert(test=test, msg=ast.Constant(value=message)):
                return f'assert {self.expression(test)} "{message!s}";\n'
            case ast.Return(value=value):
                return f"return {self.expression(value)};\n"
            case ast.Expr(value=ast.Call() as call):
                return f"{self.expression(call)};\n"
        raise TypeError(f"no translation: {ast.unparse(node)}")

    # ---- expressions

    def expression(self, node: ast.expr | None) -> str:  # noqa: C901, PLR0911, PLR0912 (one case per kind of node)
        match node:
            case ast.Name(id=name):
                return self._aliases.get(name, self._value(name))
            case ast.Constant(value=value):
                return show(value)
            case ast.Attribute(value=ast.Name(id="s"), attr=name):
                return name
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name[0].isupper():
                return attribute
            case ast.Attribute(value=value, attr=attribute):
                return f"{self.expression(value)}.{attribute}"
            case ast.Subscript(value=value, slice=index):
                return f"{self.expression(value)}[{self.expression(index)}]"
            case ast.BoolOp(op=op, values=values):
                return "(" + (" & " if isinstance(op, ast.And) else " | ").join(map(self.expression, values)) + ")"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"!({self.expression(operand)})"
            case ast.BinOp(left=left, op=op, right=right):
                return f"({self.expression(left)} {_COMPUTED[type(op)]} {self.expression(right)})"
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() as op], comparators=[ast.Tuple(elts=members)]):
                among = " | ".join(f"{self.expression(left)} = {self.expression(each)}" for each in members)
                return f"({among})" if isinstance(op, ast.In) else f"!({among})"
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return f"({self.expression(left)} {_COMPARED[type(op)]} {self.expression(right)})"
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return f"({self.expression(test)} ? {self.expression(body)} : {self.expression(orelse)})"
            case ast.Call(func=ast.Name(id=name), args=[ast.GeneratorExp() as every]) if name in _QUANTIFIERS:
                return self._quantified(_QUANTIFIERS[name], every)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                passed = [self.expression(each) for each in arguments if ast.unparse(each) != "s"]
                return f"{name}({', '.join(passed)})"
        raise TypeError(f"no translation: {ast.unparse(node) if node else node}")

    def _quantified(self, quantifier: str, every: ast.GeneratorExp) -> str:
        (loop,) = every.generators
        assert isinstance(loop.target, ast.Name)
        assert isinstance(loop.iter, ast.Name)
        return f"{quantifier} {loop.target.id}: {self._ranges[loop.iter.id]} do {self.expression(every.elt)} end"

    def _value(self, name: str) -> str:
        return show(vars(self._module)[name]) if name.isupper() else name


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The variables of a state, named as in Murphi, with their values."""
    if isinstance(value, dict):
        for index, each in value.items():
            yield from leaves(each, f"{path}[{index}]")
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from leaves(getattr(value, name), f"{path}.{name}" if path else name)
    else:
        yield path, value


def show(value: Any) -> str:
    """The value as it is written in Murphi: the name of an enumeration's member, a number, true or false."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "name", value))


def _type(node: ast.expr | None) -> str:
    match node:
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[index, value])):
            return f"array [{_type(index)}] of {_type(value)}"
        case ast.Name(id="bool"):
            return "boolean"
        case ast.Name(id=name):
            return name
        case ast.Constant(value=None):
            return "None"
    raise TypeError(f"no translation: {ast.unparse(node) if node else node}")


def _parameters(node: ast.FunctionDef) -> str:
    return "; ".join(f"{each.arg}: {_type(each.annotation)}" for each in node.args.args if each.arg != "s")


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0]
    return body[1:] if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) else body


def _in_order_of_calls(functions: Sequence[ast.FunctionDef]) -> list[ast.FunctionDef]:
    """Murphi defines a function before its use."""
    by_name = {node.name: node for node in functions}
    ordered: dict[str, ast.FunctionDef] = {}

    def add(node: ast.FunctionDef) -> None:
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id in by_name and each.id != node.name:
                add(by_name[each.id])
        ordered.setdefault(node.name, node)

    for node in functions:
        add(node)
    return list(ordered.values())
