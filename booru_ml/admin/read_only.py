"""Pages whose rows services write, so that each change is checked and written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest
from django.utils.functional import cached_property

if TYPE_CHECKING:
    PaginatorBase = Paginator[Any]
else:
    PaginatorBase = Paginator

COUNTED = 10_000


class AtLeast(int):
    def __str__(self) -> str:
        return f"{int(self)}+"


class Capped(PaginatorBase):
    """Counts no further than ``COUNTED``, and has pages for no more: millions would be read for one number."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        found = rows.order_by()[: COUNTED + 1].count()
        return found if found <= COUNTED else AtLeast(COUNTED)


class ReadOnly:
    """Mixed into a ``ModelAdmin``: nobody adds, edits or deletes by hand."""

    paginator: Any = Capped
    show_full_result_count: ClassVar[bool] = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def row(self: Any, request: HttpRequest, object_id: str) -> Any:
        """For a page of its own about one row. Raises ``Http404`` and ``PermissionDenied``."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row
