"""The queue, its cases and the audit in the stock Django admin."""

from django.contrib import admin

from moderation.admin.case import CaseAdmin
from moderation.admin.decision import DecisionAdmin
from moderation.models import Case, Decision

admin.site.register(Case, CaseAdmin)
admin.site.register(Decision, DecisionAdmin)
