"""GEdit-Bench, ImgEdit-Bench and RISEBench by their official protocols, without their official defects."""
