public import Foundation

/// From when until when a certificate counts.
public struct CertificateValidity: Sendable, Hashable {
    /// How far back the beginning lies, for machines whose clock is slow.
    public static let clockSkewSeconds: TimeInterval = 3_600
    /// A site's own authority: twenty years, for changing it means visiting every device.
    public static let authorityDays = 20 * 365
    /// A server: what TLS libraries take without complaint.
    public static let serverDays = 825
    /// A device.
    public static let deviceDays = 5 * 365
    /// Another client, such as a bridge.
    public static let clientDays = 825
    /// The most days that can be asked for.
    public static let daysMax = 50 * 366

    /// The first moment.
    public var notBefore: Date
    /// The last moment.
    public var notAfter: Date

    /// A lifetime of one's own, for tests: it may lie in the past.
    public init(notBefore: Date, notAfter: Date) {
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// So many days from now (at most ``daysMax``), with ``clockSkewSeconds`` before.
    public static func days(_ days: Int, from now: Date = Date()) -> CertificateValidity {
        let bounded = TimeInterval(min(max(days, 0), daysMax))
        return CertificateValidity(
            notBefore: now.addingTimeInterval(-clockSkewSeconds),
            notAfter: now.addingTimeInterval(bounded * 86_400)
        )
    }

    /// Ended an hour ago, for tests.
    public static func expired(now: Date = Date()) -> CertificateValidity {
        CertificateValidity(notBefore: now.addingTimeInterval(-86_400), notAfter: now.addingTimeInterval(-3_600))
    }
}
