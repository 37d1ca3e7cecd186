from django.db import migrations, models


def fill(apps, schema_editor):
    """Only who comes or goes beside the subject itself is the other of a merge or split, or of its undo."""
    rows = apps.get_model("booru_embeddings", "Change").objects.filter(verb__in=["merge", "split", "undo"])
    for row in rows.only("subject_id", "delta").iterator(100):
        ids = {side["id"] for edit in row.delta.get("subjects", ()) for side in edit if side}
        if others := ids - {row.subject_id}:
            row.other_id = others.pop()
            row.save(update_fields=["other_id"])


class Migration(migrations.Migration):
    dependencies = [("booru_embeddings", "0006_gallery_change_wording")]

    operations = [
        migrations.AddField(
            model_name="change",
            name="other_id",
            field=models.BigIntegerField(help_text="of the second subject of a merge or split", null=True),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(
                condition=models.Q(("other_id__isnull", False)), fields=["other_id"], name="booru_embeddings_of_other"
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
