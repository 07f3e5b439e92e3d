"""What a prepared set holds, as Croissant metadata.

Croissant (https://docs.mlcommons.org/croissant) is how catalogues of data sets
read what is in one. The file names shards, splits and features; records are
read with `tfds.builder_from_directory`, for Croissant has no way into TFRecord
files.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

FILE = "croissant.json"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html has it,
which a reader warns of where a key is missing."""

_TYPES = {
    "f": "sc:Float",
    "i": "sc:Integer",
    "u": "sc:Integer",
    "b": "sc:Boolean",
}


def croissant_of(builder: tfds.core.DatasetBuilder) -> dict[str, Any]:
    """Describe a prepared set.

    Args:
        builder: whose set is prepared.

    Returns:
        Croissant 1.1 as plain values: a set of files and a set of records for
        each split, whose fields are the features with type, shape and unit.
        It names no licence: whoever publishes a set decides.
    """
    info, config = builder.info, builder.builder_config
    assert config is not None  # all of ours have variants
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": builder.name,
        "description": (
            f"{info.description}\n\nVariant {config.name}: "
            f"{config.description} Read it with "
            "tfds.builder_from_directory."
        ),
        "version": str(builder.version),
        "url": info.homepage,
        "citeAs": info.citation,
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": f"{split}-shards",
                "name": f"{split}-shards",
                "description": f"{stored.num_shards} shards",
                "encodingFormat": "application/x-tfrecord",
                "includes": f"{builder.name}-{split}.tfrecord*",
            }
            for split, stored in info.splits.items()
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "description": f"{stored.num_examples} examples",
                "field": list(_fields(split, info.features)),
            }
            for split, stored in info.splits.items()
        ],
    }


def _fields(split: str, features: Any) -> Iterator[dict[str, Any]]:
    for name, feature in features.items():
        kind = np.dtype(feature.np_dtype).kind
        field = {
            "@type": "cr:Field",
            "@id": f"{split}/{name}",
            "name": name,
            "description": feature.doc.desc or name,
            "dataType": _TYPES.get(kind, "sc:Text"),
            "source": {
                "fileSet": {"@id": f"{split}-shards"},
                "extract": {"column": name},
            },
        }
        if feature.shape:
            sides = (-1 if side is None else side for side in feature.shape)
            field["isArray"] = True
            field["arrayShape"] = ",".join(map(str, sides))
        yield field


def write_croissant(builder: tfds.core.DatasetBuilder) -> None:
    """Write `FILE` beside the shards of a prepared set.

    Args:
        builder: see `croissant_of`; its set may lie in a bucket.
    """
    text = json.dumps(croissant_of(builder), indent=2, ensure_ascii=False)
    builder.data_path.joinpath(FILE).write_text(text + "\n")
