extension Field {
    private static let handlersMax = 1_000

    /// `handlers:`. With a list of plugins, a plugin that is not on it is a mistake.
    func handlers(plugins: [String]?) -> [HandlerConfiguration] {
        guard let elements = elements(max: Self.handlersMax, hint: "each handler begins with '-'") else { return [] }
        var handlers: [HandlerConfiguration] = []
        for element in elements {
            guard let handler = element.mapping({ $0.handler(plugins: plugins) }) else { continue }
            if handlers.contains(where: { $0.name == handler.name }) {
                element.report(
                    "a handler named '\(handler.name)' stands above already",
                    hint: "a handler's state hangs on its name: choose another"
                )
            }
            handlers.append(handler)
        }
        return handlers
    }
}

extension Fields {
    /// Parameters that may stand beside `with`, because the plugins that take them read better so.
    private static let shorthands = ["when", "publish", "command"]

    fileprivate func handler(plugins: [String]?) -> HandlerConfiguration? {
        let nameField = field("name")
        let pluginField = field("plugin")
        let topicsField = field("topics")
        let keyField = field("key")
        let name = nameField.name()
        if !nameField.isPresent { nameField.reportMissing(hint: "a handler's state hangs on its name") }
        let plugin = pluginField.name()
        if !pluginField.isPresent { pluginField.reportMissing(hint: "such as plugin: retail.coupon") }
        if let plugin, let plugins, !plugins.contains(plugin) {
            let suggestion = Suggestion.closest(to: plugin, among: plugins)
            pluginField.report(
                "there is no plugin '\(plugin)'",
                hint: suggestion.map { "did you mean '\($0)'?" } ?? "there are: \(plugins.joined(separator: ", "))"
            )
        }
        let topics = topicsField.patterns()
        if !topicsField.isPresent { topicsField.reportMissing(hint: "such as topics: [\"fridge/+/temp\"]") }
        let key = keyField.words()
        if let key { keyField.checkTemplate(key, topics: topics.map(\.captures)) }
        let mode = field("mode").choice(HandlerConfiguration.Mode.self)
        let timeoutField = field("timeout")
        let timeout = timeoutField.duration(1...600_000)
        if timeout != nil {
            timeoutField.reportKey(
                "this version does not stop a handler by time",
                hint: "take it away, or accept it",
                severity: .warning
            )
        }
        let isEnabled = field("enabled").bool(default: true)
        var (parameters, positions) = parameters(of: field("with"))
        for shorthand in Self.shorthands {
            let field = field(shorthand)
            guard let value = field.value() else { continue }
            if parameters[shorthand] != nil {
                field.reportKey("'\(shorthand)' stands here and in 'with'", hint: "keep one")
            }
            parameters[shorthand] = value
            positions[shorthand] = field.position
            for (inner, position) in field.positions() { positions["\(shorthand).\(inner)"] = position }
        }
        guard let name, let plugin else { return nil }
        return HandlerConfiguration(
            name: name,
            plugin: plugin,
            topics: topics.map(\.text),
            key: key,
            mode: mode,
            timeout: timeout,
            isEnabled: isEnabled,
            parameters: parameters,
            position: position,
            parameterPositions: positions
        )
    }

    private func parameters(of field: Field) -> ([String: ConfigurationValue], [String: SourcePosition]) {
        guard field.isPresent, field.fields(hint: "parameters are written 'name: value'") != nil else {
            return ([:], [:])
        }
        return (field.value()?.map ?? [:], field.positions())
    }
}

extension Field {
    private static let topicsMax = 100

    fileprivate func patterns() -> [(text: String, captures: TopicSyntax.Captures)] {
        guard let node else { return [] }
        var given = [self]
        if case .scalar = node.content {
        } else {
            given = elements(max: Self.topicsMax, hint: "write topics: [\"a/+/b\"]") ?? []
            if case .sequence = node.content, given.isEmpty {
                report("is empty: the handler would never run", hint: "name at least one topic")
            }
        }
        return given.compactMap { element in
            guard let text = element.text(expected: "a topic filter") else { return nil }
            do throws(TopicSyntax.Mistake) {
                let captures = try TopicSyntax.pattern(text)
                guard !text.hasPrefix("$share/") else {
                    element.report("a handler reads the journal: '$share/' has no meaning here", hint: "take it away")
                    return nil
                }
                return (text, captures)
            } catch {
                element.report(error.message, hint: error.hint)
                return nil
            }
        }
    }

    /// Checks the template of the key against what each topic captures.
    fileprivate func checkTemplate(_ template: String, topics: [TopicSyntax.Captures]) {
        for captures in topics {
            do throws(TopicSyntax.Mistake) {
                if let (slip, meant) = try TopicSyntax.keyTemplate(template, captures: captures) {
                    report(
                        "'{\(slip)}' is not captured by the topic and will be looked for in the payload",
                        hint: "did you mean '{\(meant)}'? Else write {payload.\(slip)}",
                        severity: .warning
                    )
                    return
                }
            } catch {
                report(error.message, hint: error.hint)
                return
            }
        }
    }
}
