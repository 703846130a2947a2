extension Field {
    /// A topic filter without named wildcards.
    func topicFilter() -> String? {
        guard let text = text(expected: "a topic filter") else { return nil }
        return checked(text) { text throws(TopicSyntax.Mistake) in try TopicSyntax.pattern(text, allowsNames: false) }
    }

    /// A list of topic filters; one alone may stand without brackets.
    func topicFilters(max: Int) -> [String]? {
        guard isPresent else { return nil }
        if case .scalar = node?.content { return topicFilter().map { [$0] } }
        return elements(max: max)?.compactMap { $0.topicFilter() }
    }

    /// A list of words; one alone may stand without brackets.
    func wordList(max: Int) -> [String]? {
        guard isPresent else { return nil }
        if case .scalar = node?.content { return words().map { [$0] } }
        return elements(max: max)?.compactMap { $0.words() }
    }

    /// Runs a check of ``TopicSyntax`` and reports what it finds.
    func checked<Result>(
        _ text: String,
        _ check: (String) throws(TopicSyntax.Mistake) -> Result
    ) -> String? {
        do throws(TopicSyntax.Mistake) {
            _ = try check(text)
            return text
        } catch {
            report(error.message, hint: error.hint)
            return nil
        }
    }
}
