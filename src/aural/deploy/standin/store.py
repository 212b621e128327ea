"""As much of S3 as a deployment needs: buckets as folders, objects as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import FileResponse, Response


@dataclass(frozen=True, slots=True)
class Store:
    root: Path

    def path(self, address: str) -> Path:
        """Of s3://bucket/key. Raises ValueError for keys that lead out of the store."""
        return self._inside(address.removeprefix("s3://"))

    def _inside(self, name: str) -> Path:
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"expected a key inside of its bucket, got {name}")
        return path

    async def answer(self, request: Request) -> Response:
        """One call of S3 in path style."""
        bucket, _, key = request.path_params["path"].partition("/")
        try:
            path = self._inside(f"{bucket}/{key}")
        except ValueError:
            return _error(400, "InvalidArgument", key)
        if not key:
            return self._bucket(request, path, bucket)
        if request.method == "PUT":
            return await self._put(request, path)
        if not path.is_file():
            return _error(404, "NoSuchKey", key)
        if request.method == "DELETE":
            path.unlink()
            return Response(status_code=204)
        return FileResponse(path, headers={"ETag": f'"{path.stat().st_mtime_ns:x}"'})

    def _bucket(self, request: Request, path: Path, bucket: str) -> Response:
        if request.method == "PUT":
            path.mkdir(parents=True, exist_ok=True)
            return Response()
        if not path.is_dir():
            return _error(404, "NoSuchBucket", bucket)
        if request.method == "GET":
            return _listing(path, bucket, request.query_params.get("prefix", ""))
        return Response()

    async def _put(self, request: Request, path: Path) -> Response:
        if "uploadId" in request.query_params or "uploads" in request.query_params:
            return _error(501, "NotImplemented", "multipart uploads; raise multipart_threshold")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        return Response(headers={"ETag": '"0"'})


def _listing(folder: Path, bucket: str, prefix: str) -> Response:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    keys = [(str(path.relative_to(folder)), path.stat().st_size) for path in files]
    found = [(key, size) for key, size in keys if key.startswith(prefix)]
    items = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size></Contents>" for key, size in found)
    body = f"<Name>{escape(bucket)}</Name><KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>{items}"
    return Response(f"<ListBucketResult>{body}</ListBucketResult>", media_type="application/xml")


def _error(status: int, code: str, what: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{escape(what)}</Message></Error>"
    return Response(body, status, media_type="application/xml")
