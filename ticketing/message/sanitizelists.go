package message

// allowedElements are the elements that are shown, and what they become.
var allowedElements = elements(`a abbr address article aside b bdi bdo big blockquote br caption center cite code dd del details dfn div dl dt em figcaption figure font
	footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark ol p pre q rp rt ruby s samp section small span strike strong sub summary sup
	table tbody td tfoot th thead time tr tt u ul var wbr
	form=div fieldset=div nav=div hgroup=div dialog=div legend=div listing=pre xmp=pre plaintext=pre textarea=pre menu=ul dir=ul acronym=abbr label=span button=span`)

// emptyElements have no end.
var emptyElements = set("br hr img wbr")

// dropped are the elements whose text is none of the author's. The tokenizer
// gives it in one piece.
var dropped = set("script style title iframe noembed noframes")

// breaksOut are the elements that end a drawing or a formula by beginning
// (HTML §13.2.6.5).
var breaksOut = set(`b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var font`)

// endsParagraph are the elements that end a paragraph by beginning.
var endsParagraph = set(`address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr li listing main menu nav ol p plaintext pre section summary table textarea ul xmp`)

// scopeEnds are the elements that no end tag inside reaches out of.
var scopeEnds = set("table caption td th")

// listItemEnds are the elements in which an item cannot end one outside.
var listItemEnds = set(`ul ol dl table caption td th tr tbody thead tfoot blockquote article aside section center details figure figcaption footer header main pre summary h1 h2 h3 h4 h5 h6`)

var headings = set("h1 h2 h3 h4 h5 h6")
