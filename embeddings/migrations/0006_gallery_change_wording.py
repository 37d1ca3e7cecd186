from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("booru_embeddings", "0005_touched")]

    operations = [
        migrations.AlterModelOptions(
            name="change",
            options={"ordering": ["-id"], "verbose_name": "gallery change"},
        ),
    ]
