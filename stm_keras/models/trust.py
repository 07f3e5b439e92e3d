"""A model is a program: what is checked before one is loaded.

A SavedModel is a graph of TensorFlow's operations, among them some that read
and write files or run Python. Before TensorFlow sees it, its files are
compared with `SHA256SUMS`, and every operation in it with a list of those that
compute. Checksums find damage and not malice, for whoever changes a file can
change them too; the list holds against malice. Keras's own file is loaded in
its safe mode, without code from it.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from stm_keras.errors import InputError
from stm_keras.models.card import verify_checksums

GRAPH = "saved_model.pb"
_OTHER_GRAPHS = ("saved_model.pbtxt", "saved_model.cpb")
"""TensorFlow would take these as well, or first."""
_LOADED = (GRAPH, "model.keras", "ground.npz", "model_card.json")
_LOADED_BELOW = ("variables/", "assets/")

_COMPUTING = """
Abs Acos Acosh Add AddN AddV2 All Angle Any ArgMax ArgMin Asin Asinh Assert
AssignVariableOp Atan Atan2 Atanh AvgPool BatchMatMul BatchMatMulV2
BatchMatMulV3 BatchToSpaceND BesselI0e BesselI1e BiasAdd Bincount Bitcast
BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize Case Cast Ceil
CheckNumerics ClipByValue Complex ComplexAbs Concat ConcatOffset ConcatV2 Conj
Const Conv2D Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp DenseBincount
DepthToSpace DepthwiseConv2dNative Diag DiagPart DisableCopyOnRead Div DivNoNan
DynamicPartition DynamicStitch Einsum Elu EnsureShape Equal Erf Erfc Erfinv Exp
ExpandDims Expm1 ExtractImagePatches FFT FFT2D Fill Floor FloorDiv FloorMod
FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual IFFT IFFT2D
IRFFT2D Identity IdentityN If Igamma Igammac Imag InTopKV2 Inv
InvertPermutation IsFinite IsInf IsNan L2Loss LeakyRelu LeftShift Less
LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr
LowerBound MatMul MatrixBandPart MatrixDiagPartV3 MatrixDiagV3 MatrixInverse
MatrixSolve Max MaxPool Maximum Mean Min Minimum MirrorPad Mod Mul MulNoNan
Ndtri Neg NextAfter NoOp NonMaxSuppressionV3 NotEqual OneHot OnesLike Pack Pad
PadV2 ParallelConcat PartitionedCall Placeholder PlaceholderWithDefault
Polygamma Pow PreventGradient Prod RFFT2D Range Rank ReadVariableOp Real
RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor
Reverse ReverseSequence ReverseV2 RightShift Rint Roll Round Rsqrt ScatterNd
SegmentMax SegmentMean SegmentMin SegmentSum Select SelectV2 Selu Shape ShapeN
Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus Softsign
SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile StopGradient
StridedSlice Sub Sum Svd Tan Tanh TensorScatterAdd TensorScatterUpdate Tile
TopK TopKV2 Transpose TruncateDiv Unique UniqueV2 Unpack UnsortedSegmentMax
UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum UpperBound
VarHandleOp VarIsInitializedOp VariableShape Where While Xdivy Xlog1py Xlogy
ZerosLike Zeta
"""
COMPUTING = frozenset(_COMPUTING.split())
"""Operations that compute, and have no other effect; allowed everywhere."""

_OF_SAVERS = {
    "__inference__traced_save_": frozenset(
        {
            "MergeV2Checkpoints",
            "SaveV2",
            "ShardedFilename",
            "StaticRegexFullMatch",
            "StringJoin",
        }
    ),
    "__inference__traced_restore_": frozenset({"RestoreV2"}),
}
"""The functions with which every SavedModel writes and reads its weights, and
what they may do besides; nothing else may call them."""
_CALL = "StatefulPartitionedCall"


def check_trusted(directory: str | Path, *, trust: bool = False) -> None:
    """Refuse a model that was changed, or could do more than compute.

    Args:
        directory: of the model.
        trust: pass both: the model may do whatever this process may.

    Raises:
        InputError: naming the files, or the operations.
    """
    if trust:
        return
    directory = Path(directory)
    check_files(directory)
    check_graph(directory)


def check_files(directory: str | Path, only: Collection[str] = ()) -> None:
    """Refuse a model whose files differ from its `SHA256SUMS`.

    Args:
        directory: of the model; without checksums, it passes.
        only: names of files that count; () for all that are loaded.

    Raises:
        InputError: naming the files.
    """
    differs = verify_checksums(directory)
    if differs is None:
        return
    wrong = {
        "changed": differs.changed,
        "missing": differs.missing,
        "not in it": tuple(filter(_is_loaded, differs.extra)),
    }
    told = "; ".join(
        f"{kind}: {', '.join(names)}"
        for kind, all_names in wrong.items()
        if (names := [n for n in all_names if not only or n in only])
    )
    if told:
        raise InputError(
            f"The model in {directory} is damaged, or was changed: it differs "
            f"from its SHA256SUMS ({told}). A model is a program. Restore it, "
            "train it again, or, if you know who changed it and trust them, "
            "give --trust-model."
        )


def _is_loaded(name: str) -> bool:
    return name in _LOADED or name.startswith(_LOADED_BELOW)


def check_graph(directory: str | Path) -> None:
    """Refuse a SavedModel with operations that do more than compute.

    Args:
        directory: of the SavedModel.

    Raises:
        InputError: naming the operations; where the graph is missing or
            damaged; or where there is another one beside it.
    """
    directory = Path(directory)
    for name in _OTHER_GRAPHS:
        if (directory / name).exists():
            raise InputError(
                f"{directory / name}: stm-keras writes no such file, and "
                "TensorFlow would load it. Remove it, or give --trust-model."
            )
    path = directory / GRAPH
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file. Restore the model.")
    try:
        stored: Any = SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}. Restore the model, or "
            "train it again."
        ) from error
    except DecodeError as error:
        raise InputError(
            f"The model in {directory} is damaged ({GRAPH}: {error}). Restore "
            "it or train it again."
        ) from error
    found = sorted(set(_not_computing(stored)))
    if found:
        raise InputError(
            f"The model in {directory} is refused: its graph can do more than "
            f"compute ({', '.join(found[:8])}). No stm-keras writes such "
            "models. If you know who made it and trust them, give "
            "--trust-model: it may then do whatever you may."
        )


def _not_computing(stored: Any) -> Iterator[str]:
    """Operations that are not allowed where they stand."""
    for graph in stored.meta_graphs:
        library = graph.graph_def.library.function
        names = {f.signature.name for f in library}
        savers = {name for name in names if _beyond(name)}
        yield from _in_graph(graph, savers)
        for function in library:
            allowed = _beyond(function.signature.name)
            yield from _ops_of(function.node_def, names, savers, allowed)
        for name in graph.object_graph_def.concrete_functions:
            if name in savers:
                yield f"{name} as a signature"


def _in_graph(graph: Any, savers: set[str]) -> Iterator[str]:
    """Of the nodes outside of functions; the saver's own may call it."""
    names = {f.signature.name for f in graph.graph_def.library.function}
    saver = graph.saver_def
    own = {_node(saver.save_tensor_name), _node(saver.restore_op_name)}
    own -= _asked_for(graph)
    for node in graph.graph_def.node:
        if node.name not in own or node.op != _CALL:
            yield from _ops_of([node], names, savers)


def _asked_for(graph: Any) -> set[str]:
    """Nodes that a signature's answer rests on."""
    nodes = {node.name: node for node in graph.graph_def.node}
    waiting = [
        _node(info.name)
        for signature in graph.signature_def.values()
        for info in signature.outputs.values()
    ]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in nodes:
            seen.add(name)
            waiting += [_node(text) for text in nodes[name].input]
    return seen


def _node(tensor: str) -> str:
    """The node that a tensor such as "^name" or "name:0" is of."""
    return tensor.removeprefix("^").partition(":")[0]


def _beyond(name: str) -> frozenset[str]:
    """What a function may do besides computing, by its name."""
    for start, allowed in _OF_SAVERS.items():
        if name.startswith(start):
            return allowed
    return frozenset()


def _ops_of(
    nodes: Iterable[Any],
    functions: set[str],
    savers: set[str],
    allowed: frozenset[str] = frozenset(),
) -> Iterator[str]:
    for node in nodes:
        if node.op not in COMPUTING | allowed | functions:
            yield node.op
        yield from (f"{n} called" for n in _called(node) if n in savers)


def _called(node: Any) -> Iterator[str]:
    """Functions that a node names in its attributes."""
    yield node.op  # a function may stand in the place of an operation
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)
