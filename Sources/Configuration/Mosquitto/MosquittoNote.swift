/// A word about a line of a mosquitto.conf that does not mean here what it means to Mosquitto.
public struct MosquittoNote: Sendable, Hashable {
    /// How much it matters.
    public enum Effect: String, Sendable, Hashable, CaseIterable {
        /// Nothing is lost: the option tunes what works otherwise here.
        case moot
        /// Something works otherwise than the line asks.
        case different
        /// Something that protects is missing.
        case security
        /// What the line asks for cannot be had, and running without it would let in whom it keeps out.
        case impossible
    }

    /// How much it matters.
    public var effect: Effect
    /// The option.
    public var option: String
    /// What becomes of it. Never holds a secret.
    public var message: String
    /// Where it stands.
    public var place: MosquittoPlace

    /// Makes a note.
    public init(effect: Effect, option: String, message: String, place: MosquittoPlace) {
        self.effect = effect
        self.option = option
        self.message = message
        self.place = place
    }
}

extension MosquittoNote: CustomStringConvertible {
    /// `mosquitto.conf:7: memory_limit: …`, on one line.
    public var description: String { "\(place.file):\(place.line): \(option): \(message)".visible }
}
