extension Field {
    /// An address to bind to: `127.0.0.1:1883`, `[::]:8883`. Port 0 asks for a free one.
    func bindAddress() -> NetworkAddress? {
        guard let text = words() else { return nil }
        guard !text.contains("://") else {
            report("'\(text)' is a URL", hint: "write address and port only: 0.0.0.0:8883; TLS comes from 'tls:'")
            return nil
        }
        if text.hasPrefix("*:") {
            // Every address of the machine; checked as if it were one of them.
            let address = networkAddress(
                "0.0.0.0" + text.dropFirst(),
                ports: 0...65_535,
                defaultPort: nil,
                example: "*:8883"
            )
            return address.map { NetworkAddress(host: "", port: $0.port) }
        }
        return networkAddress(text[...], ports: 0...65_535, defaultPort: nil, example: "127.0.0.1:1883")
    }

    /// Where a broker is: `mqtts://host:8883` or `mqtt://host:1883`.
    func brokerAddress() -> BrokerAddress? {
        guard let text = words() else { return nil }
        guard let separator = text.firstRange(of: "://") else {
            report("'\(text)' has no scheme", hint: "write mqtts://\(text), or mqtt:// for plain TCP")
            return nil
        }
        let scheme = text[..<separator.lowerBound].lowercased()
        var rest = text[separator.upperBound...]
        let usesTLS: Bool
        switch scheme {
        case "mqtts", "ssl", "tls": usesTLS = true
        case "mqtt", "tcp": usesTLS = false
        default:
            report("'\(scheme)://' is not spoken here", hint: "write mqtts://, or mqtt:// for plain TCP")
            return nil
        }
        guard !rest.contains("@") else {
            report("user name and password do not belong into an address", hint: "use 'username' and 'password_file'")
            return nil
        }
        if rest.last == "/" { rest = rest.dropLast() }
        guard !rest.contains("/") else {
            report("an address ends after the port", hint: "topics belong into 'prefix' and 'routes'")
            return nil
        }
        let address = networkAddress(
            rest,
            ports: 1...65_535,
            defaultPort: usesTLS ? 8_883 : 1_883,
            example: "mqtts://broker.example.com:8883"
        )
        return address.map { BrokerAddress(network: $0, usesTLS: usesTLS) }
    }

    func networkAddress(
        _ text: Substring,
        ports: ClosedRange<Int>,
        defaultPort: Int?,
        example: String
    ) -> NetworkAddress? {
        var host = text
        var portText: Substring?
        if text.first == "[" {
            guard let close = text.firstIndex(of: "]") else {
                report("'\(text)' lacks a ']'", hint: "write [::1]:1883")
                return nil
            }
            host = text[text.index(after: text.startIndex)..<close]
            let tail = text[text.index(after: close)...]
            guard tail.isEmpty || tail.first == ":" else {
                report("'\(text)' is not an address", hint: "write [::1]:1883")
                return nil
            }
            portText = tail.isEmpty ? nil : tail.dropFirst()
            guard IPAddress.isIPv6(String(host)) else {
                report("'\(host)' is not an IPv6 address", hint: "write [::1]:1883")
                return nil
            }
        } else {
            if let colon = text.lastIndex(of: ":") {
                host = text[..<colon]
                portText = text[text.index(after: colon)...]
            }
            guard !host.contains(":") else {
                report("'\(text)' is not an address", hint: "an IPv6 address stands in brackets: [::1]:1883")
                return nil
            }
            guard IPAddress.isHostName(String(host)) else {
                report("'\(text)' is not an address", hint: "write address and port: \(example)")
                return nil
            }
        }
        guard let portText else {
            guard let defaultPort else {
                report("'\(text)' has no port", hint: "write address and port: \(example)")
                return nil
            }
            return NetworkAddress(host: String(host), port: defaultPort)
        }
        guard !portText.isEmpty, portText.allSatisfy(\.isASCIIDigit), let port = Int(portText), ports.contains(port)
        else {
            report("'\(portText)' is not a port", hint: "from \(ports.lowerBound) to \(ports.upperBound)")
            return nil
        }
        return NetworkAddress(host: String(host), port: port)
    }
}
