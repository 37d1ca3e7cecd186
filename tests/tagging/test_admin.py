import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tagging.models import Suggestion, TagDecision
from tests.people import client_of, user
from tests.tagging.factories import post, suggestion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery")]
LIST = "admin:booru_tagging_suggestion_changelist"
VIEW = ("booru_tagging.view_suggestion", "booru_tagging.view_tagdecision")


def staff(*permissions):
    return client_of(user(*VIEW, *permissions, is_staff=True))


def act(client, action, rows, changelist=LIST):
    body = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(changelist), body, follow=True)


def test_moderators_accept_reject_and_undo_in_bulk():
    picture = post()
    rows = [suggestion(picture, f"tag{i}") for i in range(3)]
    client = staff("booru_tagging.decide_suggestion")
    assert "2 accepted." in act(client, "accept", rows[:2]).text
    assert sorted(picture.tags.values_list("name", flat=True)) == ["tag0", "tag1"]
    answer = act(client, "reject", rows).text
    assert "1 rejected." in answer
    assert "accepted by now" in answer
    undone = act(client, "undo", TagDecision.objects.all(), "admin:booru_tagging_tagdecision_changelist")
    assert "3 undone." in undone.text
    assert set(Suggestion.objects.values_list("state", flat=True)) == {"suggested"}
    assert not picture.tags.exists()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="without statistics a plan is known of SQLite alone")
def test_a_list_of_one_state_is_not_sorted():
    row, client = suggestion(post()), staff()
    with CaptureQueriesContext(connection) as asked:
        client.get(f"{reverse(LIST)}?state__exact={row.state}")
    (listed,) = (query["sql"] for query in asked.captured_queries if query["sql"].endswith('."id" DESC'))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {listed}")
        plan = [line for *_, line in cursor.fetchall()]
    assert "USING INDEX booru_tagging_by_state (state=?)" in plan[0]
    assert not any("ORDER BY" in line for line in plan)


def test_staff_without_the_permission_only_read():
    row = suggestion(post())
    client = staff()
    assert client.get(reverse(LIST)).status_code == 200
    act(client, "accept", [row])
    row.refresh_from_db()
    assert row.state == "suggested"


def test_nobody_edits_rows_by_hand():
    row = suggestion(post(), "miku", "character", evidence={"kind": "prototype", "supports": 3})
    client = client_of(user(is_staff=True, is_superuser=True))
    page = client.get(reverse("admin:booru_tagging_suggestion_change", args=[row.pk]))
    assert "The picture looks like 3 enrolled pictures" in page.text
    assert 'name="_save"' not in page.text
    assert client.get(reverse("admin:booru_tagging_suggestion_add")).status_code == 403
    assert client.post(reverse("admin:booru_tagging_suggestion_delete", args=[row.pk])).status_code == 403


def test_markup_in_names_is_escaped():
    row = suggestion(post(), "<img src=x onerror=alert(1)>")
    client = staff()
    for address in (reverse(LIST), reverse("admin:booru_tagging_suggestion_change", args=[row.pk])):
        page = client.get(address).text
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_the_list_takes_few_queries(django_assert_max_num_queries):
    for _ in range(20):
        suggestion(post())
    client = staff()
    with django_assert_max_num_queries(12):
        client.get(reverse(LIST))
