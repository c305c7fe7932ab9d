// Package config promises that a configuration file is either understood
// completely or refused with every mistake named at once: file, line, column,
// the line itself and, where a word was misspelt, the word that was meant.
//
// One rule decides what stands in the file: the file says how the server runs
// and which queues and agents it has; what people work with lives in the
// store. A key lives in exactly one place.
//
// [Load] reads a file, [Parse] reads bytes. [Reference] and [Example] are made
// from the same declarations as the decoder, so they cannot drift from it.
package config

// Config is a complete, checked configuration. Every value is set: what the
// file left out has its default.
type Config struct {
	Hostname     Hostname                `toml:"hostname" required:"yes" example:"mail.help.example" doc:"The name this server gives in HELO and in its greeting. It must match the PTR record of the address mail leaves from."`
	Admin        Address                 `toml:"admin" required:"yes" example:"ada@help.example" doc:"A person who reads what the server has to say about itself, such as the digest of held mail of a queue without agents. (Mail to postmaster@ and abuse@ of a domain opens tickets in its first queue.)"`
	PublicURL    string                  `toml:"public_url" example:"https://desk.help.example" doc:"Where people reach the web interface: the start of every link in mails and in the API. Empty means https:// and the hostname."`
	Resolver     Resolver                `toml:"resolver" example:"127.0.0.1:53" doc:"The DNS server to ask, as address or address:port. Empty means the system's."`
	Proxies      []Network               `toml:"trusted_proxies" max:"1000" example:"10.0.0.5" doc:"Load balancers of ours in front of the mail listeners. A connection from there must begin with a PROXY header (version 1 or 2) and counts as its client's. Nobody else may send one."`
	Listen       Listen                  `toml:"listen" doc:"Addresses to listen on, as host:port. An empty host means every interface, an empty value turns the listener off, port 0 lets the system choose."`
	TLS          TLS                     `toml:"tls" doc:"The certificate shown to mail servers and browsers."`
	Store        Store                   `toml:"store" doc:"Where everything is kept."`
	Outbound     Outbound                `toml:"outbound" doc:"How mail leaves."`
	Limits       Limits                  `toml:"limits" doc:"What a single peer may cost."`
	Metrics      Metrics                 `toml:"metrics" doc:"Prometheus metrics on the admin listener."`
	Log          Log                     `toml:"log" doc:"The log on standard error."`
	Domains      map[string]*Domain      `toml:"domain" name:"DOMAIN" example:"help.example" doc:"A mail domain we are MX for. DKIM keys are made on first start. It has no keys of its own yet."`
	Routes       map[string]*Route       `toml:"route" name:"NAME" example:"relay" doc:"A way for mail to leave: a smarthost with or without a login, our own mail store, or an address of ours. docs/outbound-security.md has examples."`
	Destinations map[string]*Destination `toml:"destination" name:"DOMAIN" example:"customer.example" doc:"Our word on the TLS of a recipient domain, which beats what the domain says by DANE and MTA-STS. *.example.net is about all mail exchangers whose names end so."`
	Agents       map[string]*Agent       `toml:"agent" name:"NAME" example:"otto" doc:"A member of staff."`
	Queues       map[string]*Queue       `toml:"queue" name:"NAME" example:"support" doc:"A ticket queue."`
}

// Listen holds the listeners' addresses; "" is off.
type Listen struct {
	SMTP        ListenAddr `toml:"smtp" doc:"Mail from other servers."`
	Submissions ListenAddr `toml:"submissions" example:":465" doc:"Mail from agents' mail programs, in TLS from the first octet (RFC 8314). They log in with an app password; see ticketgate agent app-password."`
	Submission  ListenAddr `toml:"submission" example:":587" doc:"The same with STARTTLS, which is required before the login."`
	LMTP        SocketAddr `toml:"lmtp" example:"unix:/run/ticketgate/lmtp.sock" doc:"Mail from our own mail server by LMTP, as host:port or unix: and a path. Whoever reaches it is trusted not to be counted and slowed down, so keep strangers away from it; a socket can be opened by the owner and the group."`
	IMAP        ListenAddr `toml:"imap" example:":143" doc:"Queues as mailboxes. Accepted, but not served by this version."`
	HTTP        ListenAddr `toml:"http" doc:"The HTTP API."`
	Admin       ListenAddr `toml:"admin" doc:"/livez, /readyz and /metrics. Keep it away from the internet."`
}

func (l *Listen) setDefaults() {
	l.SMTP, l.HTTP, l.Admin = ":25", "127.0.0.1:8025", "127.0.0.1:9464"
}

// TLS says where the certificate comes from.
type TLS struct {
	Mode          string  `toml:"mode" enum:"acme|files|self-signed" doc:"Where the certificate comes from. self-signed: made at start, enough for mail servers, which do not check it. files: cert and key, read again when they change. acme: asked for at an authority, which must reach the http listener as port 80 of the hostname, or the submissions listener as port 443; until it has answered the self-signed one is shown."`
	Cert          Path    `toml:"cert" example:"/etc/ticketgate/cert.pem" doc:"PEM file with the certificate and its chain, for mode files."`
	Key           Path    `toml:"key" example:"/etc/ticketgate/key.pem" doc:"PEM file with the private key, for mode files."`
	ACMEDirectory string  `toml:"acme_directory" doc:"Directory of the authority, for mode acme. Choosing mode acme accepts the authority's terms."`
	ACMEEmail     Address `toml:"acme_email" example:"ada@help.example" doc:"Whom the authority warns. Empty means admin."`
}

func (t *TLS) setDefaults() { t.Mode, t.ACMEDirectory = "self-signed", DefaultACME }

// DefaultACME is the directory of Let's Encrypt.
const DefaultACME = "https://acme-v02.api.letsencrypt.org/directory"

// Store says where data is kept.
type Store struct {
	Dir            Path   `toml:"dir" doc:"Directory of the built-in store and of the control socket ctl.sock."`
	URL            Secret `toml:"url" doc:"A database server instead of the directory. PostgreSQL comes in a later version; the key is refused by this one."`
	MinFree        Size   `toml:"min_free" doc:"Below this much free disk space no new mail is taken (SMTP 452, HTTP 507), and the API sends none, so that what was accepted can still be worked on."`
	MinFreePercent int    `toml:"min_free_percent" min:"0" max:"50" doc:"The same as a share of the disk, such as 10. The one of the two that is more counts."`
}

func (s *Store) setDefaults() {
	s.Dir, s.MinFree = "/var/lib/ticketgate", 1_000_000_000
}

// Outbound says how mail leaves.
type Outbound struct {
	Smarthost          HostPort   `toml:"smarthost" example:"relay.example.net:25" doc:"Hand every mail to this server instead of the recipient's MX. Port 25 if none is given."`
	Route              string     `toml:"route" example:"relay" doc:"The route of all queues that name none; instead of smarthost."`
	DANE               bool       `toml:"dane" doc:"Check the TLSA records of other mail servers (RFC 7672). Takes effect only if resolver is a validating one on this machine."`
	MTASTS             bool       `toml:"mta_sts" doc:"Fetch and follow the MTA-STS policies of other domains (RFC 8461)."`
	Retry              []Duration `toml:"retry" min:"1" max:"50" doc:"Waiting times between attempts; the last one repeats until the mail expires."`
	Expire             Duration   `toml:"expire" doc:"How long after its creation a mail to a person is tried before it is given up and its ticket told."`
	ExpireNotification Duration   `toml:"expire_notification" doc:"The same for notifications and acknowledgements. Never longer than expire."`
	ExpireBulk         Duration   `toml:"expire_bulk" doc:"The same for bulk mail. Never longer than expire."`
	Rate               Rate       `toml:"rate" doc:"Most mails to everybody together, or unlimited."`
	PerDestinationRate Rate       `toml:"per_destination_rate" doc:"Most mails to the servers of one recipient domain, or unlimited. A smarthost is ours and knows only the rate above."`
	ProviderRate       Rate       `toml:"provider_rate" doc:"Most mails to one operator of many domains' mail servers, such as Google, or unlimited."`
	SmarthostRate      Rate       `toml:"smarthost_rate" doc:"Most mails through one smarthost account, or unlimited: what the contract allows."`
	EgressRate         Rate       `toml:"egress_rate" doc:"Most mails that leave by mail exchangers from one address of ours (or the pair of a route's source), or unlimited: what a new address may send while it has no name yet."`
	QueueRate          Rate       `toml:"queue_rate" doc:"Most mails of one ticket queue, or unlimited."`
	SenderRate         Rate       `toml:"sender_rate" doc:"Most mails of one envelope sender, or unlimited."`
	ConnectionRate     Rate       `toml:"connection_rate" doc:"Most new connections to the mail servers of one operator, or of one mail exchanger of nobody's, or unlimited. A connection serves many mails, which are not counted. A few operators get fewer in any case."`
	PerDestination     int        `toml:"per_destination" min:"1" max:"100" doc:"Most connections open to one destination at the same time. It begins with two and grows as the destination takes mail. The large operators get fewer than ten in any case."`
	SoftLimit          int        `toml:"soft_limit" min:"1" max:"100000000" doc:"With this many mails waiting, new bulk mail waits an hour before its first attempt."`
	HardLimit          int        `toml:"hard_limit" min:"1" max:"100000000" doc:"With this many mails waiting, nothing more is taken in until some have left."`
}

func (o *Outbound) setDefaults() {
	o.DANE, o.MTASTS = true, true
	o.Retry = []Duration{minute, 5 * minute, 10 * minute, 20 * minute, 40 * minute, hour, 2 * hour, 4 * hour}
	o.Expire, o.ExpireNotification, o.ExpireBulk = 4*day, day, 12*hour
	o.SoftLimit, o.HardLimit = 500_000, 1_000_000
	o.Rate = Rate{N: 200, Per: second}
	o.PerDestinationRate = Rate{N: 20, Per: second}
	o.ConnectionRate = Rate{N: 100, Per: minute}
	o.PerDestination = 10
}

// Limits bound what a peer may cost.
type Limits struct {
	MessageSize      Size      `toml:"message_size" doc:"Largest mail taken, as sent over the wire. Larger ones get 552."`
	Recipients       int       `toml:"recipients" min:"1" max:"10000" doc:"Most recipients of one mail; RFC 5321 asks for at least 100."`
	Connections      int       `toml:"connections" min:"1" max:"100000" doc:"Most SMTP connections at the same time."`
	PerIPConnections int       `toml:"per_ip_connections" min:"1" max:"100000" doc:"Most SMTP connections from one address at the same time. One /24 (or /64 of IPv6) may have three times that, one /16 (or /48) nine times."`
	Deny             []Network `toml:"deny" max:"10000" example:"192.0.2.0/24" doc:"Networks that are turned away at the door with 421."`
	SenderFlood      Burst     `toml:"sender_flood" example:"20/10m" doc:"How many mails of one author a queue takes in a span of time, as in 20/10m; what comes beyond is held (reason flood). Proven agents and trusted forwarders are not counted. off takes everything."`
}

func (l *Limits) setDefaults() {
	l.MessageSize, l.Recipients, l.Connections, l.PerIPConnections = 35_000_000, 100, 500, 20
}

// Metrics configures /metrics.
type Metrics struct {
	Enabled   bool   `toml:"enabled" doc:"Serve /metrics on the admin listener."`
	Token     Secret `toml:"token" doc:"If set, /metrics asks for it as a Bearer token. env:NAME takes it from the environment, cred:NAME from the service manager's credentials."`
	TokenFile Path   `toml:"token_file" example:"/etc/ticketgate/metrics.token" doc:"File with the token; instead of token."`
}

func (m *Metrics) setDefaults() { m.Enabled = true }

// Log configures the log.
type Log struct {
	Level  string `toml:"level" enum:"debug|info|warn|error" doc:"Least important level written."`
	Format string `toml:"format" enum:"auto|text|json" doc:"auto is text on a terminal and JSON otherwise."`
}

func (l *Log) setDefaults() { l.Level, l.Format = "info", "auto" }

// Domain is a mail domain that is ours. It has no keys yet.
type Domain struct{}

// Agent is a member of staff.
type Agent struct {
	Name      string    `toml:"name" example:"Otto" doc:"Name shown to customers. Empty means the agent's id."`
	Addresses []Address `toml:"addresses" required:"yes" min:"1" max:"20" example:"otto@help.example" doc:"Addresses the agent writes from; mail goes to the first. A mail from one of them speaks for the agent only if the sender is proven."`
	Role      string    `toml:"role" enum:"full|light" doc:"A light agent writes notes, never to customers."`
}

func (a *Agent) setDefaults() { a.Role = "full" }

// Queue is a ticket queue.
type Queue struct {
	Address           Address     `toml:"address" required:"yes" example:"support@help.example" doc:"Mail to this address opens tickets here. Its local part has at most 24 octets, because reply addresses are made from it."`
	Aliases           []Address   `toml:"aliases" max:"100" example:"help@help.example" doc:"Further addresses with the same effect."`
	Name              string      `toml:"name" example:"Example Support" doc:"Name people see beside the address. Empty means the queue's id."`
	Agents            []string    `toml:"agents" max:"1000" example:"otto" doc:"Ids of the agents who serve the queue and hear of new tickets."`
	From              From        `toml:"from" doc:"Who the queue's mail comes from, as people see it."`
	ReplyTo           ReplyTo     `toml:"reply_to" doc:"Where customers' answers go."`
	SubjectTag        bool        `toml:"subject_tag" doc:"End the subjects of the queue's mail with the ticket's number, as in [#1001]."`
	CC                CC          `toml:"cc" doc:"Who may become a copy recipient by mail."`
	AutoAck           AutoAck     `toml:"auto_ack" doc:"The acknowledgement a requester gets for a new ticket."`
	TrustedForwarders []Forwarder `toml:"trusted_forwarders" max:"1000" example:"192.0.2.25/32" doc:"Mail servers of our own that vouch for the senders of what they hand us; whoever stands here can write as any agent. A network (name single hosts); cert: and the SHA-256 of the public key of a TLS client certificate; login: and the agent's id that the server logs in as on a submission port, which then may name any sender; dkim: and a domain whose valid signature stands under the mail."`
	CopyAlways        bool        `toml:"copy_always" doc:"Send people a copy of a mail even if they already stood in it."`
	Hold              Hold        `toml:"hold" doc:"Mail that is held instead of becoming a ticket, beyond what is held anyway (loops, reports without proof, failed authentication, blank mail). Agents who are proven are not asked."`
	Accept            []Accept    `toml:"accept" name:"NAME" max:"200" doc:"Rules about mail for the queue, asked in this order before it becomes anything; the first that holds decides. All conditions of a rule must hold. docs/held-mail.md says what no rule can do."`
	ReopenWindow      Duration    `toml:"reopen_window" doc:"A reply to a closed ticket within this time of its solving reopens it; a later one opens a linked follow-up."`
	ClosedText        string      `toml:"closed_text" example:"This case is closed. Please write a new mail." doc:"Refuse later answers to a closed ticket with these words instead of opening a follow-up. Empty opens one."`
	KeepSolved        bool        `toml:"keep_solved" doc:"Leave a solved ticket solved when its customer answers with a short thank-you and nothing else."`
	ReplyAll          string      `toml:"reply_all" enum:"assignee|queue|followers" doc:"Whose Reply-all to a public mail is public. assignee: nobody else's. queue: and that of full agents who serve the queue. followers: and that of full agents who follow the ticket."`
	Rewriters         []Address   `toml:"rewriters" max:"100" example:"helpers@groups.example" doc:"Addresses of groups that pass mail on in their own name. If DMARC passes for the group and it is a trusted forwarder, X-Original-From or Reply-To names the author."`
	Route             string      `toml:"route" example:"relay" doc:"The route that the queue's mail leaves by. Empty means outbound.route, or outbound.smarthost, or the recipients' mail exchangers."`
	RequireTLS        bool        `toml:"require_tls" doc:"Send the queue's mail with REQUIRETLS (RFC 8689): over verified TLS to servers that promise the same, or not at all. Few servers do."`
	DeliverTo         DeliverTo   `toml:"deliver_to" doc:"Hand the original mails on to an existing helpdesk."`
	Language          string      `toml:"language" doc:"Language of the texts the server writes itself. This version has en."`
}

func (q *Queue) setDefaults() {
	q.From.As = "author"
	q.ReplyTo.Plus, q.SubjectTag = true, true
	q.CC = CC{Allow: "participants", Max: 48, Staff: "follower"}
	q.AutoAck.Enabled = true
	q.Hold = Hold{Spam: true, Recipients: 200}
	q.ReopenWindow = 7 * day
	q.ReplyAll = "queue"
	q.Language = "en"
}

// Hold says which mail a queue holds.
type Hold struct {
	Blocked          []string `toml:"blocked" max:"10000" example:"*@spam.example" doc:"Authors and envelope senders whose mail is held (reason blocklisted): an address, @domain, or a pattern with *."`
	Spam             bool     `toml:"spam" doc:"Hold what a trusted forwarder has marked as spam (X-Spam-Flag, X-Spam-Status, X-Spam, or X-MS-Exchange-Organization-SCL from 5). Such marks are believed from nobody else."`
	Recipients       int      `toml:"recipients" min:"0" max:"1000" doc:"Hold mail with more people than this in To and Cc (reason too_many_recipients). 0 takes any number."`
	PartSize         Size     `toml:"part_size" doc:"Hold mail with a file larger than this, as it travels (reason oversize_part). 0B takes any size that limits.message_size allows."`
	Malformed        bool     `toml:"malformed" doc:"Hold mail without a From that names exactly one sender (reason malformed). Otherwise it opens a ticket and speaks for nobody."`
	Unparsed         bool     `toml:"unparsed" doc:"Hold what could not be read as a mail at all (reason unparsed). Otherwise it opens a ticket with the flag unparsed."`
	UnverifiedAgents bool     `toml:"unverified_agents" doc:"Hold mail that claims to be an agent's, would open a ticket, and that nothing vouches for (reason unverified_agent). Otherwise it opens a ticket with the flag unverified_agent."`
	Strangers        bool     `toml:"strangers" doc:"Hold mail to a ticket by somebody who has no part in it (reason unknown_user_update). Otherwise it is on the ticket, internally and flagged."`
}

// CC says who may become a copy recipient by mail.
type CC struct {
	Allow       string   `toml:"allow" enum:"off|participants|all" doc:"off: nobody. participants: only people already on the ticket or in the requester's organisation. all: anybody a participant names in Cc."`
	Max         int      `toml:"max" min:"0" max:"1000" doc:"Most CCs of one ticket."`
	Never       []string `toml:"never" max:"1000" example:"*@lists.example" doc:"Addresses that never become a CC: an address, @domain, or a pattern with *."`
	Staff       string   `toml:"staff" enum:"follower|cc" doc:"What an agent in Cc becomes. follower: no customer ever sees his address. cc: a CC like others, under his own address."`
	AlonePublic bool     `toml:"alone_public" doc:"What a CC writes to the queue alone is public instead of internal."`
}

// AutoAck configures the acknowledgement.
type AutoAck struct {
	Enabled bool `toml:"enabled" doc:"Send it. Machines and mailing lists never get one."`
}
