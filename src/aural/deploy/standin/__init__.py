"""SageMaker on one machine: the calls that a deployment makes, and containers as plain processes."""
