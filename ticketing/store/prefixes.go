package store

// Prefix is the first byte of every key of a table. All of them stand here, so
// that two tables cannot share one and a dump can be read. A prefix that has
// been released is never given another meaning.
type Prefix byte

// The store's own spaces.
const (
	PrefixMeta    Prefix = 0x01 // engine: format version
	PrefixCounter Prefix = 0x02 // counters
	PrefixChunk   Prefix = 0x03 // chunks of blobs
)

// Primitives.
const (
	PrefixBlob    Prefix = 0x10 // blob: content hash → chunk id, size
	PrefixJournal Prefix = 0x11 // journal: entries by queue and sequence
	PrefixLane    Prefix = 0x12 // agenda: one row per lane, its wake time
	PrefixJob     Prefix = 0x13 // agenda: due work
)

// Ticketing.
const (
	PrefixTicket      Prefix = 0x20
	PrefixMessage     Prefix = 0x21
	PrefixParticipant Prefix = 0x22
	PrefixContact     Prefix = 0x23
	PrefixReceipt     Prefix = 0x24
	PrefixReference   Prefix = 0x25 // foreign Message-IDs → ticket
	PrefixSent        Prefix = 0x26 // mails we sent about a ticket: who was in them
	PrefixNotice      Prefix = 0x27 // what notify has to tell, and to whom
	PrefixDelivery    Prefix = 0x28 // delivery state of a message per recipient
	PrefixSecret      Prefix = 0x29 // keyring epochs
	PrefixArrival     Prefix = 0x2a // Message-ID + body hash + queue, for dedupe
	PrefixHeld        Prefix = 0x2b
	PrefixToken       Prefix = 0x2c // API tokens
	PrefixAck         Prefix = 0x2d // last acknowledgement per address
	PrefixFlood       Prefix = 0x2e // mails of one author to one queue just now
	PrefixOptOut      Prefix = 0x2f // who wants no mail that nobody wrote to him
)

// Ticketing, continued.
const (
	PrefixTask      Prefix = 0x50
	PrefixTimeEntry Prefix = 0x51

	PrefixProfile      Prefix = 0x58 // what is known of a contact beyond its addresses
	PrefixOrganization Prefix = 0x59
)

// What people were told.
const (
	PrefixHistory Prefix = 0x5a // what notify decided about whom, a notice's together
	PrefixUnsent  Prefix = 0x5b // mails of notify that did not go out after all
)

// Doors.
const (
	PrefixAppPassword Prefix = 0x30 // what agents' mail programs log in with
	PrefixCertificate Prefix = 0x31 // ACME: account, certificates, challenges
	PrefixReplay      Prefix = 0x32 // answers to requests with an idempotency key
)

// Delivery.
const (
	PrefixParcel      Prefix = 0x40
	PrefixDestination Prefix = 0x41
	PrefixDKIMKey     Prefix = 0x42
	PrefixSuppression Prefix = 0x48 // addresses that get no mail, and failures on the way there
	PrefixMeasure     Prefix = 0x49 // operators' holds, pauses and routes
	PrefixNote        Prefix = 0x47 // notes: policies and tokens that outlive a restart
)
