from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("booru_embeddings", "0004_change")]

    operations = [
        migrations.CreateModel(
            name="Touched",
            fields=[
                ("revision", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("token", models.UUIDField(help_text="the gallery's at that revision")),
                ("subjects", models.JSONField(help_text="ids of the subjects; null: it could be anybody", null=True)),
            ],
            options={
                "verbose_name": "touched subjects",
                "verbose_name_plural": "touched subjects",
                "default_permissions": (),
            },
        ),
    ]
