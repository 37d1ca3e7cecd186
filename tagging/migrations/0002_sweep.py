import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("booru_tagging", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Sweep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject_id", models.BigIntegerField(help_text="whom the gallery is asked about")),
                ("name", models.CharField(help_text="the subject's name when it was ordered", max_length=200)),
                (
                    "category",
                    models.CharField(
                        choices=[
                            ("general", "general"),
                            ("artist", "artist"),
                            ("copyright", "copyright"),
                            ("character", "character"),
                            ("meta", "meta"),
                            ("rating", "rating"),
                            ("quality", "quality"),
                        ],
                        max_length=10,
                    ),
                ),
                ("threshold", models.FloatField(help_text="0–1, the least probability that is suggested")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("finished", "Finished"),
                            ("cancelled", "Cancelled"),
                            ("undoing", "being taken back"),
                            ("undone", "taken back"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("cursor", models.CharField(blank=True, help_text="the last post that was passed", max_length=64)),
                ("total", models.PositiveBigIntegerField(default=0)),
                ("passed", models.PositiveBigIntegerField(default=0)),
                ("compared", models.PositiveBigIntegerField(default=0, help_text="posts that are analysed")),
                ("suggested", models.PositiveBigIntegerField(default=0, help_text="new suggestions")),
                (
                    "withdrawn",
                    models.PositiveBigIntegerField(
                        default=0, help_text="open suggestions that are not supported any more"
                    ),
                ),
                ("taken_back", models.PositiveBigIntegerField(default=0, help_text="changes that an undo took back")),
                ("fault", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
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
            ],
            options={
                "verbose_name": "search of old posts",
                "verbose_name_plural": "searches of old posts",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="SweepStep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("delta", models.JSONField(default=dict)),
                (
                    "sweep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="booru_tagging.sweep"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": (),
            },
        ),
        migrations.AddConstraint(
            model_name="sweep",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["running", "paused", "undoing"])),
                fields=("subject_id",),
                name="booru_tagging_one_sweep",
            ),
        ),
    ]
