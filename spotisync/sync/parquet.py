"""Parquet files, with pyarrow: an optional dependency, since its wheel has 55 MB."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, Final

from spotisync.core.tables import ColumnType
from spotisync.errors import Misconfigured
from spotisync.sync.output_files import Output

# Bounds memory: a row group is built before it is written. Its rows take up to about 30 MB as Python values.
ROWS_PER_GROUP: Final = 20_000
INSTALL: Final = "Parquet files need pyarrow, which is not installed: pip install 'spotisync[parquet]'"


def require_pyarrow() -> Any:
    """Import pyarrow. Raises `Misconfigured` with the command that installs it."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise Misconfigured(INSTALL) from None
    return pyarrow


def write_groups(file: Output, columns: Mapping[str, ColumnType], rows: Iterable[tuple[Any, ...]]) -> Iterator[int]:
    """Write the rows, and yield their number after each row group. The file is complete when the iterator ends."""
    pyarrow = require_pyarrow()
    types = _types(pyarrow)
    schema = pyarrow.schema([(name, types[type_]) for name, type_ in columns.items()])
    remaining, count = iter(rows), 0
    with pyarrow.parquet.ParquetWriter(_Sink(file), schema, compression="zstd") as writer:
        while group := list(islice(remaining, ROWS_PER_GROUP)):
            values = zip(*group, strict=True)
            arrays = [pyarrow.array(each, field.type) for each, field in zip(values, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            count += len(group)
            yield count


def read_columns(file: IO[bytes]) -> list[str]:
    """The names of the columns of a file. Raises `ValueError` if it is damaged."""
    pyarrow = require_pyarrow()
    try:
        return list(pyarrow.parquet.ParquetFile(file).schema_arrow.names)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(error) from None


def iter_rows(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, with little more than a row group in memory. Raises `ValueError` if it is damaged."""
    pyarrow = require_pyarrow()
    try:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=1_000):
            yield from batch.to_pylist()
    # OverflowError: a time beyond Python's calendar; LookupError: an unknown time zone.
    except (pyarrow.ArrowException, OSError, OverflowError, LookupError) as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> ValueError:
    return ValueError(f"no readable Parquet file ({str(error).partition(chr(10))[0]})")


def _types(pyarrow: Any) -> dict[ColumnType, Any]:
    return {
        "text": pyarrow.string(),
        "texts": pyarrow.list_(pyarrow.string()),
        "integer": pyarrow.int32(),
        "boolean": pyarrow.bool_(),
        "date": pyarrow.date32(),
        "time": pyarrow.timestamp("us", tz="UTC"),
    }


class _Sink:
    """A file for pyarrow that counts its position: a pipe has none. It does not close the file it writes to."""

    closed = False

    def __init__(self, file: Output) -> None:
        self._file = file
        self._position = 0

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._file.write(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
