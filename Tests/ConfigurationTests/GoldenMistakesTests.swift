import CausewayConfiguration
import Testing

/// One file with many mistakes, and every line that `causeway check` prints for it.
@Suite struct GoldenMistakesTests {
    private static let text = """
        sight: store 42
        listeners:
          - bind: 0.0.0.0:1883
            allow_anonymous: yes
            max_conections: 10
          - name: tls
            bind: 0.0.0.0:88830
            tls: { certfile: site.pem, require_certificate: true, tls_version: tlsv1.1 }
          - bind: 127.0.0.1:1884
            allow_anonymous: false
          - just a word
        journal: { path: "", sync: sometimes, max_bytes: 8 gigs, keep: 24 }
        limits:
          max_inflight_messages: 0
          max_queued_messages: many
          max_queued_bytes: 99999999999GiB
          session_expiry: forever
        users: { passwordfile: users }
        access:
          - { users: [till-*], publish: ["pos/#/sale"] }
        handlers:
          - { name: glucose, plugin: medication.insuline, topics: ["ward/+bed/{bed}"], key: "{3}" }
          - { name: coupon, plugin: retail.coupon, topics: ["beacon/{zone}"], key: "{zome}", mode: sugest }
          - { name: coupon, plugin: retail.coupon, topics: "beacon/+" }
        bridges:
          - name: cloud
            address: mqtt://broker.example.com
            confirm: comit
            restart: { base: 2m }
            username: ${NO_SUCH_VARIABLE}
            routes:
              - { topic: "pos/+/sale", to: "sales/{2}", redact: { customer: hmac, card: hide }, qos: 2 }
              - { topic: "door/open", class: command, retain: true }
              - { to: "x" }
        log: [debug]
        """

    private static let expected = """
        site.yaml:1:1: error: site: is missing (the name of this site, such as site: store-0042)
        site.yaml:1:1: error: sight: unknown setting 'sight' (known here: site, limits, compatibility, users, \
        access, listeners, site_broker, journal, handlers, site_key, bridges, audit, reload, sys_interval, pid_file, \
        user, console, log)
        site.yaml:3:11: error: listeners[0].bind: plain TCP on 0.0.0.0:1883 would carry passwords and data in the \
        clear (add 'tls:', bind to 127.0.0.1, or set 'insecure: true' if the network is protected otherwise)
        site.yaml:4:22: error: listeners[0].allow_anonymous: expected a truth value, found 'yes' (write true or \
        false, without quotes)
        site.yaml:5:5: error: listeners[0].max_conections: unknown setting 'max_conections' (did you mean \
        'max_connections'?)
        site.yaml:7:11: error: listeners[1].bind: '88830' is not a port (from 0 to 65535)
        site.yaml:8:10: error: listeners[1].tls.keyfile: is missing (the private key that belongs to 'certfile')
        site.yaml:8:32: error: listeners[1].tls.require_certificate: 'require_certificate' needs 'cafile' (name \
        the authority that signs the devices' certificates)
        site.yaml:8:72: error: listeners[1].tls.tls_version: 'tlsv1.1' is not known here (did you mean 'tlsv1.2'? \
        one of tlsv1.2, tlsv1.3)
        site.yaml:11:5: error: listeners[3]: expected a mapping, found text
        site.yaml:12:18: error: journal.path: is empty
        site.yaml:12:28: error: journal.sync: 'sometimes' is not known here (one of always, interval, os)
        site.yaml:12:50: error: journal.max_bytes: '8 gigs' is not a number of bytes (write a whole number with \
        B, KiB, MiB, GiB, TiB, kB, MB, GB or TB: 64MiB)
        site.yaml:12:64: error: journal.keep: '24' has no unit (write 24s, 24m or 24h)
        site.yaml:14:26: error: limits.max_inflight_messages: 0 is out of range (from 1 to 65535)
        site.yaml:15:24: error: limits.max_queued_messages: expected a whole number, found 'many'
        site.yaml:16:21: error: limits.max_queued_bytes: '99999999999GiB' is too large for a number of bytes \
        (write a smaller number)
        site.yaml:17:19: error: limits.session_expiry: 'forever' is not a duration (write a number and a unit: \
        200ms, 30s, 5m, 24h, 7d)
        site.yaml:18:8: error: users.password_file: is missing (a file made by mosquitto_passwd; or take tokens with 'jwt')
        site.yaml:18:10: error: users.passwordfile: unknown setting 'passwordfile' (did you mean 'password_file'?)
        site.yaml:20:34: error: access[0].publish[0]: '#' must be the last level (use '+' for a single level)
        site.yaml:22:30: error: handlers[0].plugin: there is no plugin 'medication.insuline' (did you mean \
        'medication.insulin'?)
        site.yaml:22:60: error: handlers[0].topics[0]: a wildcard must be a whole level, unlike in '+bed'
        site.yaml:23:76: warning: handlers[1].key: '{zome}' is not captured by the topic and will be looked for \
        in the payload (did you mean '{zone}'? Else write {payload.zome})
        site.yaml:23:92: error: handlers[1].mode: 'sugest' is not known here (did you mean 'suggest'? one of \
        suggest, confirm, auto)
        site.yaml:24:5: error: handlers[2]: a handler named 'coupon' stands above already (a handler's state \
        hangs on its name: choose another)
        site.yaml:27:14: error: bridges[0].address: mqtt:// to broker.example.com would carry passwords and data \
        in the clear (write mqtts://, or set 'insecure: true' if the network is protected otherwise)
        site.yaml:28:14: error: bridges[0].confirm: 'comit' is not known here (did you mean 'commit'? one of \
        commit, puback)
        site.yaml:29:14: error: bridges[0].restart: 'cap' is shorter than 'base' (the wait grows from base (1s) \
        to cap (60s))
        site.yaml:30:15: error: bridges[0].username: the environment variable NO_SUCH_VARIABLE is not set (set it \
        before starting, or write $${NO_SUCH_VARIABLE} for the characters themselves)
        site.yaml:32:36: error: bridges[0].routes[0].to: '{2}' refers to a wildcard the topic does not have (it \
        has 1)
        site.yaml:32:69: error: bridges[0].routes[0].redact.customer: 'hmac' needs a key (add 'site_key: { file: \
        site.key }' to the file; 32 random bytes will do)
        site.yaml:32:81: error: bridges[0].routes[0].redact.card: 'hide' is not a redaction (drop, hmac, round:2 \
        or { round: 2 })
        site.yaml:32:94: error: bridges[0].routes[0].qos: QoS 2 is not used upstream (QoS 1 and the sequence \
        numbers give the same, and cannot block: write qos: 1)
        site.yaml:33:47: error: bridges[0].routes[1].retain: a retained command would be carried out again by \
        whoever connects later (commands come down: choose another class, or take the route away)
        site.yaml:34:9: error: bridges[0].routes[2].topic: is missing (which messages leave, such as "alarm/#")
        site.yaml:35:6: error: log: expected a mapping, found a list
        """

    @Test func `every mistake of a file is told at once, in the order of the file`() {
        let outcome = SiteConfiguration.load(
            text: Self.text,
            file: "site.yaml",
            environment: [:],
            plugins: ["medication.insulin", "retail.coupon"]
        )
        let lines = outcome.problems.map(\.description)
        #expect(outcome.value == nil)
        #expect(lines.count == 37)
        #expect(lines.joined(separator: "\n") == Self.expected)
    }
}
