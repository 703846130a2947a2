/// Configurations that must load, as they stand in the documents.
enum Examples {
    /// The example of DESIGN.md section 5 (Docs/Architecture.md).
    static let design = """
        site: store-0042
        listeners:
          - bind: 127.0.0.1:1883                      # plain TCP is refused on any address but loopback unless `insecure: true`
          - bind: 0.0.0.0:8883
            tls: { certfile: certs/site.pem, keyfile: certs/site.key, cafile: certs/devices-ca.pem, require_certificate: true, use_identity_as_username: true }
        journal: { path: data/, sync: always, max_bytes: 8GiB, keep: 24h }
        site_key: { file: certs/site.secret }
        handlers:
          - { name: glucose, plugin: medication.insulin, topics: ["ward/+/bed/{bed}/cgm"], key: "{bed}", mode: suggest, with: { target: "100-140 mg/dL" } }
          - { name: welcome-back, plugin: retail.coupon, topics: ["beacon/+/sighting"], with: { catalogue: coupons.yaml, cooldown: 24h } }
          - { name: cold-chain, plugin: rule, topics: ["fridge/+/temp"], when: "payload.celsius > 8 for 5m", publish: { topic: "alarm/{1}", class: alarm } }
          - { name: upsell, plugin: process, command: ["python3", "upsell.py"], topics: ["pos/+/basket"], timeout: 200ms }
        bridges:
          - name: cloud
            address: mqtts://broker.example.com:8883
            tls: { cafile: certs/cloud-ca.pem, certfile: certs/site.pem, keyfile: certs/site.key }
            prefix: "up/{shard}/{site}/"              # the default; routes are relative to it
            confirm: commit                           # outbox is cut at the aggregator's watermark; `puback` for other consumers
            routes:
              - { topic: "alarm/#", class: alarm }
              - { topic: "pos/+/sale", to: "sales/{1}", class: transaction, redact: { customer: hmac, card: drop } }
              - { topic: "ward/+/bed/+/cgm", to: "vitals/{2}", class: telemetry, sample: { every: 1m, keep: [avg, min, max, count] } }
        """

    /// Every setting of a site once, none at its default.
    static let everySetting = """
        site: ward_7
        users: { password_file: /etc/causeway/users }
        limits:
          max_inflight_messages: 10
          max_queued_messages: 5000
          max_queued_bytes: 32MiB
          overflow: drop_oldest
          max_packet_size: 1MB
          max_topic_levels: 16
          max_subscriptions: 100
          max_sessions: 500
          session_expiry: 7d
          receive_maximum: 50
          topic_alias_maximum: 0
          max_retained_messages: 1000
          max_keepalive: 300
          connect_timeout: 5s
        listeners:
          - name: devices
            bind: "[::]:8883"
            max_connections: 300
            max_packet_size: 64KiB
            max_keepalive: 120
            allow_anonymous: true
            tls:
              certfile: certs/site.pem
              keyfile: certs/site.key
              cafile: certs/ca.pem
              require_certificate: true
              use_identity_as_username: true
              tls_version: tlsv1.3
          - { name: lan, bind: "192.168.1.5:1883", insecure: true, allow_anonymous: false }
        access:
          - { users: [nurse-*, doctor], clients: "tablet-*", publish: ["ward/%u/#"], subscribe: ["ward/#"], receive: ["ward/+/cgm"] }
          - { users: "*", publish: "pos/%c/#", subscribe: ["down/%c"] }
        journal: { path: /var/lib/causeway, sync: interval, interval: 50ms, max_bytes: 2GiB, segment_bytes: 16MiB, keep: 2h,
          reserve: 32MiB, reserve_topics: [alarm/#], encryption: { keyfile: secrets/journal.key, retired_keyfiles: [secrets/old.key] } }
        site_key: { file: secrets/site.key }
        handlers:
          - name: glucose
            plugin: medication.insulin
            topics: ["ward/+/bed/{bed}/cgm", "ward/{bed}/{rest...}"]
            key: "{bed}"
            mode: auto
            timeout: 2s
            enabled: false
            with: { target: { low: 100, high: 140.5 }, names: [a, "1", true, ~], note: "5", negative: -3 }
        bridges:
          - name: cloud
            address: mqtts://[2001:db8::1]
            site: ward_7_north
            protocol: mqttv311
            tls: { cafile: certs/cloud.pem, certfile: certs/site.pem, keyfile: certs/site.key, insecure: true }
            username: ward
            password_file: secrets/cloud.password
            prefix: "up/{shard}/{site}/hospital/"
            shards: 4
            confirm: commit
            keepalive_interval: 30
            restart: { base: 2s, cap: 30s }
            window: 64
            resend_after: 20s
            max_outbox_bytes: 1GiB
            overflow: drop_newest
            drain_rate: 500
            routes:
              - { topic: "ward/+/bed/{bed}/cgm", to: "vitals/{bed}/{1}", class: telemetry, qos: 0, retain: true, redact: { patient.name: drop, patient.id: hmac, mgdl: round, bpm: { round: 1 }, kg: "round:2" } }
        console: { bind: 127.0.0.1:9000 }
        log: { level: debug, format: json }
        """

    /// A site that attaches to an existing broker.
    static let attached = """
        site: shop-1
        site_broker:
          address: mqtts://mosquitto.shop.local
          tls: { cafile: ca.pem }
          username: causeway
          password_file: mosquitto.password
          topics: ["pos/#", "fridge/+/temp"]
        """

    /// An aggregator with a broker of its own.
    static let embeddedCloud = """
        cloud: aggregator-1
        broker:
          listeners:
            - { bind: "0.0.0.0:8883", tls: { certfile: cloud.pem, keyfile: cloud.key, cafile: sites.pem, require_certificate: true, use_identity_as_username: true } }
            - { name: own, bind: 127.0.0.1:0, allow_anonymous: true }
        shards: [0, 2, "4-7"]
        store: { sqlite: /var/lib/causeway/cloud.sqlite }
        batch: { max_messages: 500, max_delay: 20ms }
        access:
          - { users: "*", publish: ["up/+/%u/#"], subscribe: ["down/%u/#"] }
        console: { bind: 127.0.0.1:8081 }
        """

    /// An aggregator beside an existing broker.
    static let existingCloud = """
        cloud: aggregator-2
        broker_address: mqtts://nats.example.com:8883
        tls: { cafile: nats-ca.pem }
        username: aggregator
        password_file: nats.password
        shards: all
        """
}
