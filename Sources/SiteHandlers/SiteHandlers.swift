public import HandlerKit

/// The handlers that come with Causeway.
public enum SiteHandlers {
    /// All of them.
    public static let builtIn: [any Handler.Type] = [InsulinHandler.self, CouponHandler.self]

    /// The handler of a plugin name such as `retail.coupon`, or nil.
    public static func plugin(named name: String) -> (any Handler.Type)? {
        builtIn.first { $0.plugin.name == name }
    }
}
