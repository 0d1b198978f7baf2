"""The Kafka adapters: client settings, the Faust application, topics, the publisher, the topic reader."""
