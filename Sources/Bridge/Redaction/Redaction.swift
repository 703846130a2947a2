/// What happens to a field before it may wait on a disk or leave the site.
public enum Redaction: Sendable, Hashable {
    /// The field is left out.
    case drop
    /// The value is replaced by a keyed pseudonym, equal for equal values: HMAC-SHA256 with the site's key, 128 bits in
    /// hexadecimal. Every element of an array by its own; a whole object by one.
    case hmac
    /// A number keeps this many decimals, 0 to 9, every element of an array for itself. What is no number is left out.
    case round(decimals: Int)

    /// The stricter of two wins where two paths meet at one field.
    var strictness: Int {
        switch self {
        case .drop: 2
        case .hmac: 1
        case .round: 0
        }
    }
}
