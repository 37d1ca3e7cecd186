import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("booru_embeddings", "0003_picture_query_collection"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Change",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "verb",
                    models.CharField(
                        choices=[
                            ("enrol", "Enrol"),
                            ("add_support", "add pictures"),
                            ("remove_support", "remove pictures"),
                            ("change", "rename or switch"),
                            ("merge", "Merge"),
                            ("split", "Split"),
                            ("withdraw", "Withdraw"),
                            ("learn", "learn from a decision"),
                            ("unlearn", "forget what a decision taught"),
                            ("undo", "Undo"),
                        ],
                        max_length=14,
                    ),
                ),
                (
                    "subject_id",
                    models.BigIntegerField(db_index=True, help_text="of the subject, which may be gone by now"),
                ),
                ("name", models.CharField(help_text="the subject's name at that time", max_length=200)),
                (
                    "category",
                    models.CharField(choices=[("character", "Character"), ("artist", "Artist")], max_length=10),
                ),
                ("delta", models.JSONField(default=dict, help_text="The real change; see the model.")),
                ("revision", models.PositiveBigIntegerField(help_text="the gallery's revision from then on")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "undoes",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="undone_by",
                        to="booru_embeddings.change",
                    ),
                ),
            ],
            options={
                "verbose_name": "change of the gallery",
                "verbose_name_plural": "history of the gallery",
                "ordering": ["-id"],
            },
        ),
    ]
