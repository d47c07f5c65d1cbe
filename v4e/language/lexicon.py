"""The vocabulary of the task rules: regular expressions for the things an instruction names, in lower case."""

from v4e.language.words import COLORS, MATERIALS


def any_of(*lines: str) -> str:
    """Returns one group of the alternatives in `lines`, longest first.

    ``_`` stands for a blank or hyphen, ``*`` for any end of a word.
    """
    found = sorted(set(" ".join(lines).split()), key=lambda word: (-len(word), word))
    return "(?:" + "|".join(word.replace("*", r"\w*").replace("_", "[ -]") for word in found) + ")"


SHADE = (
    r"(?:(?:very )?(?:light(?:er)?|dark(?:er)?|bright|deep|pale|hot|sky|navy|pastel|neon|royal|soft|vivid|rich)[ -])*"
)
COLOR = SHADE + any_of(
    " ".join(COLORS),
    "emerald burgundy ginger mustard scarlet aqua amber khaki charcoal mint rose ruby sapphire plum cream fuchsia",
    "mauve azure bronze copper chestnut salmon apricot chartreuse multicolo*red rainbow reddish bluish greenish",
    "yellowish purplish pinkish brownish greyish grayish jet_black off_white platinum terracotta sienna ochre ebony",
)
MATERIAL = any_of(
    " ".join(MATERIALS),
    "gold silver platinum granite satin felt cotton linen suede wicker rattan clay sand origami yarn knit* crochet* "
    "foam",
    "jade pearl obsidian slate tile* plywood oak mahogany pine cork rope chain_mail titanium aluminium aluminum brass",
    "tin wax latex vinyl nylon polyester tweed corduroy lace cashmere canvas sequin* feather* jelly gelatin chocolate",
    "candy snow lava stone* cobble*stone* pebble* gravel asphalt mud cement stucco adobe sandstone limestone onyx "
    "quartz",
    "ivory bone balloon* lego_bricks* terracotta papier_m.ch. moss* translucent transparent crocodile snakeskin",
    "woven quilted padded rust* wood* wire mesh carbon_fib* acrylic resin enamel mirror* chequered paisley",
)
STYLE = any_of(
    "watercolo*r* sketch* cartoon* anime manga comic* pixel_art* pop_art line_art line_drawing* painting* painted "
    "van_gogh",
    "monet picasso dali klimt hokusai rembrandt warhol banksy vermeer mucha ghibli miyazaki pixar disney* dreamworks",
    "simpsons south_park minecraft roblox cubis* impressionis* expressionis* surrealis* pointillis* baroque",
    "renaissance art_deco art_nouveau bauhaus ukiyo_e woodblock woodcut* linocut* engraving* etching* lithograph* "
    "fresco",
    "charcoal_drawing charcoal_sketch pencil_drawing* pencil_sketch* ink_drawing* ink_wash ink_painting drawing "
    "drawings",
    "illustration* 3d_render* low_poly 3d_scene cel_shad* claymation stop_motion plasticine stained_glass mosaic* "
    "tapestry",
    "embroidery graffiti street_art cyberpunk steampunk vaporwave synthwave chibi photorealis* 8_bit 16_bit voxel* "
    "isometric",
    "doodle* caricature* silhouette_art flat_design vector_art vector_graphic* blueprint papercut* paper_cut* collage*",
    "video_game* action_figure* coloring_book children's_book storybook aesthetic pastel_drawing oil_pastel*",
    "crayon* gouache acrylics? realistic_photo retro_poster travel_poster",
)
WEAK_STYLE = any_of("lego origami clay felt yarn pixels? plush paper charcoal pastels? neon_art pottery cross_stitch")
WEATHER = any_of(
    "rain* snowfall snow* fog* mist* haze hazy sunny cloud* storm* thunder* lightning overcast wind* weather blizzard",
    "frost* hail* drizzl* humid dry_season season* winter* summer* spring* autumn* fall_season",
)
LIGHT = any_of(
    "night* day* dawn dusk twilight sunset sunrise golden_hour blue_hour noon midday midnight morning evening",
    "sunlight sunlit moonlight moonlit moon light*ing light backlit candlelight* neon_light* high_key low_key "
    "shadow* highlights",
    "lit relit rim_light* spotlight* sunbeam* sun_rays* god_rays* glow",
)
GRADE = any_of(
    "tone* tones grad* filter* mood* atmosphere* vibe* contrast* saturat* desaturat* exposure* overexposed "
    "underexposed",
    "brightness vintage sepia monochrom* gr[ae]yscale black_and_white b&w cinematic hdr warm* cold* cool* dark* "
    "bright* dim*",
    "vibran* vivid muted faded washed_out white_balance color_balance colo*r_temperature color_cast noir film_look "
    "film_grain grain* vignette",
    "dramatic spooky dreamy gloomy melanchol* romantic nostalgic ominous eerie scary cozy cheerful gothic festive "
    "polaroid",
    "analog* kodak retro_filter retro_look lomo* soft_look crisp* sharp* haze noise blur* clear* hue_of_the_image "
    "resolution quality",
    "colou?rful colou?rs gamma levels curves temperature tint apocalyptic moody",
)
TONE = f"(?:{WEATHER}|{LIGHT}|{GRADE})"
BODY = any_of(
    "skin wrinkle* freckle* acne blemish* pimple* spots lip lips lipstick make_up makeup mascara eyeliner eye_shadow*",
    "eye_lash* eyelash* lashes eyebrow* brow brows eye eyes hair hair_style* hairstyle* haircut* hairdo bangs "
    "fringe beard* goatee",
    "stubble sideburn* moustache* mustache* teeth tooth cheek* cheekbone* dimple* chin jaw* nose complexion "
    "dark_circles",
    "eye_bags scar scars mole moles tattoo* blush foundation concealer contour* forehead ponytail pigtail* braid* "
    "dreadlock* afro mohawk",
    "buzz_cut bob_cut curls crow's_feet double_chin tan nails manicure pores laugh_lines face facial",
)
PERSON = any_of(
    "man men woman women girl* boy* guy* lady ladies person people child* kid kids baby bride groom couple model",
    "dancer player he she him her his hers they them me my i himself herself myself grandpa grandma father mother "
    "teen*",
    "gentleman actor actress singer face portrait selfie",
)
LOOKS = any_of(
    "younger older young old elderly aged bald muscular slim* thin* fat fatter chubby skinny beautif* pretty "
    "prettier attractive",
    "handsome* glamorous healthier fit tanned pale* rejuvenat* youthful tired rested fresher feminine masculine toned",
    "athletic pregnant zombie plump* muscle* wax_figure",
)
RETOUCH = any_of(
    "retouch* beautif* airbrush* freshen* rejuvenate slim* shave* trim* whiten* moisturi* botox make_over makeover"
)
MOVE = any_of(
    "raise lift lower wave tilt rotate spin bend stretch extend sit stand jump run walk smile frown laugh cry wink "
    "blink",
    "open close shut pose move slide shift push pull drag fold unfold point nod kick dance clap lean crouch kneel "
    "fly swim drop flip",
    "swing sleep yawn hug shake cross uncross crawl climb lie lay roll bow squat hop skip skate ride drive throw "
    "catch toss hold",
    "grab reach touch pick carry drink eat bite lick read write sing play shout scream whisper kiss cuddle fight "
    "punch salute pray",
    "meditate float dive surf fall stumble trip march sprint jog gallop trot rear perch flap spread soar land "
    "pounce growl bark",
    "howl roar stare glance gaze look face_away face_the face_left face_right turn_around turn_his turn_her "
    "turn_its turn_their turn_left",
    "turn_right turn_to swap_places high_five shrug clench clasp spill pour splash twist curl_up stick_out rest "
    "recline relax wake",
    "work_out exercise shoot aim juggle balance chase follow leave enter exit approach step peek hide_behind "
    "scratch rub lean_against",
    "give_a give_the cheer celebrate argue talk speak listen hang sway bounce unzip zip untie tie peel pucker "
    "squint grin smirk pout",
)
SCENE = any_of(
    "beach* forest* desert* city cityscape street* meadow* field* mountain* lake* river* ocean sea seaside moon "
    "mars space",
    "galaxy universe jungle rainforest office library kitchen bedroom living_room bathroom garden* park cafe café "
    "restaurant bar museum",
    "castle palace spaceship space_station station airport stadium classroom school hospital church cathedral cave* "
    "canyon",
    "volcano* island* village town farm* barn reef underwater waterfall* countryside skyline valley hill* cliff* "
    "glacier arctic",
    "antarctica savanna* swamp pier harbo*r dock* bridge market mall supermarket gym studio stage theat* concert "
    "nightclub",
    "casino temple ruins rooftop alley highway road racetrack arena playground pool hotel lobby balcony terrace "
    "greenhouse",
    "vineyard orchard snowfield tundra dreamland wonderland battlefield courtroom laboratory factory warehouse garage",
    "tower square plaza downtown suburb* room sky horizon landscape scene view wonderland background heaven hell",
)

# verbs that begin a request, and names of the whole picture
WHOLE = (
    r"(?:it|everything|(?:this|that)(?! (?!into|to|in|look|as|like|more|an?|from|by|using|with|feel|be)\w)|(?:the |"
    r"this |my |that )?(?:(?:whole|entire|old|faded|complete) )*(?:image|picture|photo|photograph|pic|scene|shot|"
    r"view|frame|drawing|painting|thing|selfie|landscape))"
)
CHANGE = (
    r"(?:make|turn|change|convert|transform|give|set|switch|cover|let|have|render|swap|replace|morph|alter|modify|"
    r"adjust|shift|redraw|reimagine|remake|redo|restyle|stylize|style|apply|use|get|show|edit|update|bring|build|put|"
    r"tint)"
)
PAINT = r"(?:(?:re)?(?:paint|colou?r|dye|tint|hue)|spray[ -]paint)"
ADD = (
    r"(?:add|put|place|insert|draw|include|introduce|create|hang|stick|superimpose|attach|throw in|pop|drop in|mount|"
    r"overlay|decorate|equip|fill|plant|sprinkle|scatter|append|install|position|arrange|park|seat|sketch in|paint "
    r"in|bring in|compose)"
)
REMOVE = (
    r"(?:remove|delete|erase|get rid of|take (?:away|out|off)|eliminate|clear|wipe|clean(?: up| off| away)?|crop out|"
    r"edit out|photoshop out|cut out|lose|hide|vanish|strip|do away with|throw (?:out|away)|discard|exclude|omit|"
    r"ditch|scrap|banish|subtract|wash off|dispose of|leave out|rid|paint out|peel off|pull out|pluck|take)"
)
TEXT = (
    r"\b(?:texts?|words?|letters?|lettering|slogan|fonts?|writing|inscription|headline|caption|subtitle|title|"
    r"typography|typo|spelling|handwriting|signature|translate|sentence|phrase|characters|numbers?|digits?|speech "
    r"bubble|(?:my|the|store|shop|brand|first|last) name|price|date on|lyrics|quote|message)\b"
)
