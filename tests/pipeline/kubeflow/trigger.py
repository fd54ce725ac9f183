"""Conditions on which a task is run, as TFX's `Cond` compiles them for KFP.

They are written in the Common Expression Language; this reads what TFX writes of it
(tfx/orchestration/kubeflow/v2/compiler_utils.py, placeholder_to_cel): properties and URIs of input
artifacts, numbers, texts, comparisons, and, or, not.
"""

from __future__ import annotations

import ast
import operator
import re
from typing import Any

_REFERENCE = re.compile(
    r"inputs\.artifacts\['(?P<key>[^']+)'\]\.artifacts\[(?P<index>\d+)\]\."
    r"(?:metadata\['(?P<property>[^']+)'\]|uri)"
)
_COMPARISONS = {ast.Eq: operator.eq, ast.Lt: operator.lt, ast.Gt: operator.gt}


def holds(condition: str, artifacts: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether a condition is met.

    Args:
        condition: The expression.
        artifacts: Input key → artifacts, as KFP's RuntimeArtifact in JSON values.

    Raises:
        ValueError: For an expression that TFX does not write.
    """

    def value(found: re.Match[str]) -> str:
        artifact = artifacts[found["key"]][int(found["index"])]
        told = artifact["metadata"][found["property"]] if found["property"] else artifact["uri"]
        return repr(float(told) if isinstance(told, (int, float)) else told)

    text = _REFERENCE.sub(value, condition)
    text = text.replace("&&", " and ").replace("||", " or ").replace("!(", " not (")
    try:
        return bool(_evaluate(ast.parse(text.strip(), mode="eval").body))
    except (KeyError, SyntaxError) as error:
        raise ValueError(f"{condition!r} cannot be read: {error}") from None


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BoolOp):
        values = [_evaluate(part) for part in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _evaluate(node.operand)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _COMPARISONS[type(node.ops[0])](_evaluate(node.left), _evaluate(node.comparators[0]))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _evaluate(node.left) + _evaluate(node.right)
    raise ValueError(f"{ast.unparse(node)!r} is nothing that TFX writes")
