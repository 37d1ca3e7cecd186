from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("booru_tagging", "0002_sweep")]

    operations = [
        migrations.RemoveIndex(model_name="suggestion", name="booru_tagging_by_state"),
        migrations.AddIndex(
            model_name="suggestion",
            index=models.Index(fields=["state", "-id"], name="booru_tagging_by_state"),
        ),
    ]
