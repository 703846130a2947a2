public import Access
public import SiteServer

extension ListenerAuthenticator: Authenticator {}

extension DynamicSecurity: ControlPlane {}
