/// One thing that an auditor asks about: what happened, when, and who and what it was about.
public struct AuditRecord: Sendable, Hashable {
    /// What happened, such as `client.refused`. It never changes its meaning.
    public var kind: String
    /// Names and values in the order in which they are written. Values may hold anything: what a client sent is
    /// escaped and cut to ``AuditText/valueBytesMax``.
    public var fields: [Field]
    /// Milliseconds since 1970-01-01 UTC.
    public var wallMilliseconds: Int64

    /// A name and a value.
    public struct Field: Sendable, Hashable {
        /// Lower case words with underscores.
        public var name: String
        /// The value.
        public var value: String

        /// Makes a field.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Makes a record of now.
    public init(_ kind: String, _ fields: [Field] = []) {
        self.init(kind, fields, wallMilliseconds: AuditText.wallMilliseconds())
    }

    /// Makes a record.
    public init(_ kind: String, _ fields: [Field], wallMilliseconds: Int64) {
        self.kind = kind
        self.fields = fields
        self.wallMilliseconds = wallMilliseconds
    }

    /// The value of a field.
    public subscript(name: String) -> String? { fields.first { $0.name == name }?.value }
}

/// Records that the log writes about itself.
enum AuditKind {
    /// The first line of each file: which file came before, how many records it had, and how records are hashed.
    static let opened = "audit.opened"
    /// A crash left half a line, which was set aside.
    static let recovered = "audit.recovered"
    /// The log was not as it was left: it goes on, and a verification tells where.
    static let broken = "audit.broken"
    /// Events came faster than they could be written, or the disk refused them.
    static let lost = "audit.records_lost"
    /// A file was deleted because its time was over.
    static let retired = "audit.retired"
}
