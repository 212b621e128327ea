"""Deployment to Amazon SageMaker, and the stand-in for it on a laptop."""
