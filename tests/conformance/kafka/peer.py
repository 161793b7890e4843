"""Another client of Kafka: makes topics, reads them, and writes by its own partitioner.

    peer.py SERVER make TOPIC PARTITIONS BROKERS   led by 1 to BROKERS in turn, the others have copies
    peer.py SERVER read TOPIC            one record a line: [partition, key, value]
    peer.py SERVER write TOPIC KEY…      a record a key, with the value "other"
"""

import json
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic


def main():
    server, verb, topic, *words = sys.argv[1:]
    if verb == "make":
        admin = KafkaAdminClient(bootstrap_servers=server)
        partitions, brokers = map(int, words)
        places = {at: [(at + n) % brokers + 1 for n in range(brokers)] for at in range(partitions)}
        admin.create_topics([NewTopic(topic, replica_assignments=places)])
        admin.close()
    elif verb == "write":
        producer = KafkaProducer(bootstrap_servers=server, acks="all")
        for key in words:
            producer.send(topic, key=key.encode(), value=b"other").get(timeout=30)
        producer.close()
    else:
        consumer = KafkaConsumer(bootstrap_servers=server, enable_auto_commit=False)
        parts = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for records in consumer.poll(timeout_ms=1000).values():
                for record in records:
                    print(json.dumps([record.partition, record.key.decode(), record.value.decode()]))
        consumer.close()


main()
