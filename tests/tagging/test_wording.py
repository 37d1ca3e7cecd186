from tagging.wording import why


def test_prototypes_name_how_many_pictures_and_which_posts():
    evidence = {"kind": "prototype", "supports": 5, "margin": 0.7, "nearest": ["12"], "face": 0}
    assert why(score=0.92, evidence=evidence, model_version="lite0@1") == (
        "This face looks like 5 enrolled pictures: 92% sure, ahead of the next candidate; nearest is post 12."
    )


def test_a_guess_is_called_one():
    evidence = {"kind": "prototype", "supports": 1, "guess": True}
    assert why(score=0.98, evidence=evidence, model_version="wd@1") == (
        "The picture looks like 1 enrolled picture: 98% guessed by a model without a calibration."
    )


def test_ratings_are_spelt_out_with_their_rivals():
    evidence = {"kind": "rating", "shares": {"g": 0.2, "q": 0.7, "s": 0.1, "e": 0.0}}
    assert why(score=0.7, evidence=evidence, model_version="nsfwjs@1") == (
        "The picture looks questionable (70%; general 20%, sensitive 10%, explicit 0%), says nsfwjs."
    )


def test_taggers_tell_their_bar():
    evidence = {"kind": "tagger", "threshold": 0.35}
    assert why(score=0.9, evidence=evidence, model_version="wd@1") == "wd is 90% sure; it suggests from 35%."


def test_evidence_of_older_versions_still_reads():
    for kind in ("prototype", "rating", "quality", "tagger", "unheard-of", None):
        assert why(score=0.5, evidence={"kind": kind}, model_version="").endswith(".")
