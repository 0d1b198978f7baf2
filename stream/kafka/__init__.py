"""Everything that talks to Kafka: client settings, the Faust application, topics, the publisher, the topic reader."""
