"""GEdit-Bench and ImgEdit-Bench by their official protocols, without their official defects."""
